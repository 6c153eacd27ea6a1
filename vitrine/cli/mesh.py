"""Finding the mesh that a command talks to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.mesh.errors import InvalidArgument, PermissionDenied
from vitrine.supervisor import state
from vitrine.supervisor.layout import Layout, data_dir_default

if TYPE_CHECKING:
    import typer

    from vitrine.client import Client
    from vitrine.supervisor.state import State


def find_server(context: typer.Context, server: str | None, data_dir: Path | None) -> str:
    """The address given, else that of the mesh on the data directory, else the default one."""
    running = find_mesh(context, server, data_dir)
    return running.layout.gateway if running else server or Layout().gateway


def find_mesh(context: typer.Context, server: str | None, data_dir: Path | None) -> State | None:
    """The mesh on the data directory, unless an address is given or none runs.

    What was typed goes before what the environment says; of the same kind, the address goes first.
    """
    if server and not (_is_typed(context, "data_dir") and not _is_typed(context, "server")):
        return None
    return state.load(expanded(data_dir, data_dir_default()))


def _is_typed(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def choose_catalog(client: Client, catalog: str | None) -> str:
    """The catalogue given, else `default` where it exists, else the only one there is.

    Raises InvalidArgument naming them when there are several, or none, or when the key may not see all.
    """
    if catalog:
        return catalog
    try:
        ids = [found.id for found in client.catalogs()]
    except PermissionDenied as error:
        raise InvalidArgument("catalog", "name one: this key may not see which there are") from error
    if "default" in ids:
        return "default"
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise InvalidArgument("catalog", "there is none yet; `vitrine index DIR` makes one")
    raise InvalidArgument("catalog", f"there are several ({', '.join(ids)}): choose one with --catalog")


def expanded(path: Path | None, default: Path) -> Path:
    """An absolute path, the default when none is given."""
    return (path or default).expanduser().absolute()
