"""Finding the mesh that a command talks to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.mesh.errors import InvalidArgument
from vitrine.supervisor import state
from vitrine.supervisor.layout import Layout, data_dir_default

if TYPE_CHECKING:
    from vitrine.client import Client


def find_server(server: str | None) -> str:
    """The address given, else that of the mesh on the default data directory, else the default one."""
    if server:
        return server
    running = state.load(data_dir_default())
    return running.layout.gateway if running else Layout().gateway


def choose_catalog(client: Client, catalog: str | None) -> str:
    """The catalogue given, else `default` where it exists, else the only one there is.

    Raises InvalidArgument naming them when there are several, or none.
    """
    if catalog:
        return catalog
    ids = [found.id for found in client.catalogs()]
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
