"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli import output

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
