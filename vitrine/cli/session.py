"""What commands that talk to a gateway have in common: how it is reached, and the shape of the answer.

`connected` and `in_catalog` give a command the options for it, so that each function states its own alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, get_type_hints

import typer

from services.mesh.errors import InvalidArgument
from vitrine.cli.options import (
    CatalogOption,
    DataDirOption,
    JsonOption,
    KeyOption,
    ServerOption,
    TlsCaOption,
    TlsCertificateOption,
    TlsKeyOption,
)

if TYPE_CHECKING:
    from vitrine.client import AsyncClient, Client, TlsFiles
    from vitrine.supervisor.state import State

Parameters = ParamSpec("Parameters")


@dataclass(frozen=True)
class Session:
    """The options that were given for reaching a gateway.

    `has_catalog` is False for commands that are about no catalogue in particular.
    """

    context: typer.Context
    has_catalog: bool
    catalog: str | None
    server: str | None
    key: str | None
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    data_dir: Path | None
    json: bool

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the gateway, and of the catalogue that is meant."""
        from vitrine.cli.mesh import choose_catalog
        from vitrine.client import Client

        with Client(self.address, key=self.key, tls=self.tls()) as client:
            if self.has_catalog:
                client.catalog = choose_catalog(client, self.catalog)
            yield client

    def asynchronous(self, *, read_s: float) -> AsyncClient:
        """A client for asyncio, whose reads have a deadline of `read_s`."""
        from vitrine.client import AsyncClient, Timeouts

        return AsyncClient(self.address, key=self.key, tls=self.tls(), timeouts=Timeouts(read_s=read_s))

    @property
    def mesh(self) -> State | None:
        """The mesh on this machine, unless another gateway is asked for, or none runs."""
        from vitrine.cli.mesh import find_mesh

        return find_mesh(self.context, self.server, self.data_dir)

    @property
    def address(self) -> str:
        """Where the gateway is."""
        from vitrine.cli.mesh import find_server

        return find_server(self.context, self.server, self.data_dir)

    def tls(self) -> TlsFiles | bool:
        """How the connection is encrypted.

        Raises InvalidArgument for a certificate without authorities.
        """
        from vitrine.client import TlsFiles

        if self.tls_ca is not None:
            return TlsFiles(self.tls_ca, self.tls_certificate, self.tls_key)
        if self.tls_certificate is not None or self.tls_key is not None:
            raise InvalidArgument("--tls-certificate", "needs --tls-ca, without which nothing is encrypted")
        return False


_SHARED: Mapping[str, tuple[Any, Any]] = {
    "server": (ServerOption, None),
    "key": (KeyOption, None),
    "tls_ca": (TlsCaOption, None),
    "tls_certificate": (TlsCertificateOption, None),
    "tls_key": (TlsKeyOption, None),
    "data_dir": (DataDirOption, None),
    "json": (JsonOption, False),
}


def connected(command: Callable[Concatenate[Session, Parameters], None]) -> Callable[..., None]:
    """Give a command the options that reach a gateway; it is called with the session that they make."""
    return _with_options(command, _SHARED, has_catalog=False)


def in_catalog(command: Callable[Concatenate[Session, Parameters], None]) -> Callable[..., None]:
    """The same for a command that is about one catalogue, with the option that names it."""
    return _with_options(command, {"catalog": (CatalogOption, None), **_SHARED}, has_catalog=True)


def _with_options(
    command: Callable[..., None],
    shared: Mapping[str, tuple[Any, Any]],
    *,
    has_catalog: bool,
) -> Callable[..., None]:
    @functools.wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        options = {"catalog": None, **{name: given.pop(name) for name in shared}}
        command(Session(context, has_catalog, **options), **given)

    # Typer reads the parameters of a command from its signature and its annotations.
    (_, *own) = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    annotations = {
        "context": typer.Context,
        **{each.name: hints[each.name] for each in own},
        **{name: annotation for name, (annotation, _) in shared.items()},
    }
    defaults = {each.name: each.default for each in own} | {
        name: given for name, (_, given) in shared.items()
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    vars(run)["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(
                name, keyword, annotation=annotation, default=defaults.get(name, inspect.Parameter.empty)
            )
            for name, annotation in annotations.items()
        ]
    )
    run.__annotations__ = annotations
    return run
