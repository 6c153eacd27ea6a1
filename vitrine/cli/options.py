"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli import output
from vitrine.supervisor.layout import CACHE_VARIABLE, STORE_VARIABLE

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on standard output.", callback=output.choose_json, is_eager=True),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="VITRINE_SERVER",
        help="The gateway's gRPC address; the running `vitrine up`, else 127.0.0.1:50051.",
    ),
]
CatalogOption = Annotated[
    str | None,
    typer.Option(
        "--catalog", envvar="VITRINE_CATALOG", help="Catalogue id; `default`, or the only one there is."
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="VITRINE_KEY",
        help="An API key or token; the variable keeps it out of lists of processes.",
    ),
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="VITRINE_TLS_CA",
        help="Encrypt: PEM file of the authorities of the gateway's certificate.",
    ),
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate",
        envvar="VITRINE_TLS_CERTIFICATE",
        help="PEM file of a certificate to show to the gateway.",
    ),
]
TlsKeyOption = Annotated[
    Path | None,
    typer.Option("--tls-key", envvar="VITRINE_TLS_KEY", help="PEM file of that certificate's key."),
]
FieldsOption = Annotated[
    str,
    typer.Option("--fields", help="Only these fields of products: title,attributes.price; all without."),
]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="Show at most so many; 0 for all.")]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the mesh keeps its data.", envvar="VITRINE_DATA_DIR")
]
ModelsDirOption = Annotated[
    Path | None, typer.Option("--models-dir", help="Where model weights lie.", envvar="VITRINE_MODELS_DIR")
]
PortBaseOption = Annotated[
    int, typer.Option("--port-base", help="Port of the gateway's gRPC; the other services follow it.")
]
HttpPortOption = Annotated[int, typer.Option("--http-port", help="Port of the page and the HTTP API.")]
ShardsOption = Annotated[int, typer.Option("--shards", help="How many processes share the rows.")]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar=STORE_VARIABLE,
        help="The catalogue's MongoDB, mongodb://HOST/DATABASE; files in the data directory without.",
    ),
]
CacheOption = Annotated[
    str,
    typer.Option(
        "--cache",
        envvar=CACHE_VARIABLE,
        help="Share cached answers in Redis: redis://HOST/0; they are kept in memory alone without.",
    ),
]
