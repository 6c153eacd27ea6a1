"""`vitrine demo`."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.mesh.errors import InvalidArgument
from vitrine.cli import output
from vitrine.cli.options import (
    DataDirOption,
    HttpPortOption,
    JsonOption,
    ModelsDirOption,
    PortBaseOption,
    ShardsOption,
)
from vitrine.supervisor.layout import DEFAULT_HTTP_PORT, DEFAULT_PORT_BASE

if TYPE_CHECKING:
    from vitrine.supervisor.layout import Layout
    from vitrine.supervisor.mesh import Mesh

_DEMO_CATALOG = "demo"
_REFARCH_CATALOG = "refarch"
_STOP_TIMEOUT_S = 30.0


def demo(
    catalog_dir: Annotated[
        Path | None, typer.Option("--catalog-dir", help="Your own folder instead of the demo catalogue.")
    ] = None,
    refarch: Annotated[
        bool,
        typer.Option(
            "--refarch",
            help="A larger one instead: 615 products of an npm package that states no licence, for local "
            "evaluation.",
        ),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave the services running; `vitrine down` stops them.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    port_base: PortBaseOption = DEFAULT_PORT_BASE,
    http_port: HttpPortOption = DEFAULT_HTTP_PORT,
    shards: ShardsOption = 1,
    data_dir: DataDirOption = None,
    models_dir: ModelsDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show it all on a small catalogue.

    Pulls the models, starts the services, indexes, and tells where the page is.
    """
    from vitrine.cli.index import run, show
    from vitrine.cli.up import mesh_of
    from vitrine.client import AsyncClient

    mesh = mesh_of(port_base, http_port, shards, data_dir, models_dir)
    if catalog_dir is not None and not catalog_dir.is_dir():
        raise InvalidArgument("catalog-dir", f"{catalog_dir} is not a folder")
    if catalog_dir is not None and refarch:
        raise InvalidArgument("refarch", "contradicts --catalog-dir")
    directory = catalog_dir or (_fetch_refarch(mesh) if refarch else _fetch(mesh))
    catalog = catalog_id(catalog_dir) if catalog_dir else _REFARCH_CATALOG if refarch else _DEMO_CATALOG
    layout, started = _ensure_up(mesh)
    summary = run(
        directory,
        catalog=catalog,
        connect=lambda: AsyncClient(layout.gateway),
        data_dir=mesh.data_dir,
    )
    if json:
        output.print_json({**summary.as_json(), "url": layout.url, "server": layout.gateway})
    else:
        show(summary)
        _print(layout, catalog, directory)
    if open_:
        typer.launch(layout.url)
    if not no_wait:
        _wait(mesh, started=started)
    raise typer.Exit(summary.exit_status)


def catalog_id(directory: Path) -> str:
    """A catalogue id from the name of a folder: lower-case letters, digits and hyphens, 63 at most."""
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")
    return name[:63].rstrip("-") or _DEMO_CATALOG


def _fetch(mesh: Mesh) -> Path:
    from vitrine.catalogs import demo as demo_catalog

    return demo_catalog.fetch(mesh.data_dir / "demo")


def _fetch_refarch(mesh: Mesh) -> Path:
    from vitrine.catalogs import demo as demo_catalog
    from vitrine.catalogs.refarch import NOTICE, REFARCH

    output.say(NOTICE)
    return demo_catalog.fetch(mesh.data_dir / "refarch", (REFARCH,))


def _ensure_up(mesh: Mesh) -> tuple[Layout, bool]:
    """The ports of the mesh that runs, and whether it was started for this, with its models pulled before."""
    from vitrine.cli.models import pull_all
    from vitrine.supervisor import state

    running = state.load(mesh.data_dir)
    if running is not None and running.ready:
        return running.layout, False
    pull_all(mesh.models_dir)
    output.say("starting the services")
    return mesh.start_detached().layout, True


def _print(layout: Layout, catalog: str, directory: Path) -> None:
    console = output.out()
    console.print(f"\n[bold]{layout.url}[/] is the page. Or try:", soft_wrap=True)
    picture = next(iter(sorted(directory.glob("images/*"))), None)
    for command in (
        f'vitrine search --catalog {catalog} --text "red shoes"',
        f'vitrine search --catalog {catalog} --image "{picture}" --k 5' if picture else "",
        "vitrine status",
        "vitrine down",
    ):
        if command:
            console.print(f"  {command}", soft_wrap=True, markup=False)


def _wait(mesh: Mesh, *, started: bool) -> None:
    """Stay until Ctrl-C, then stop what was started for the demo."""
    from vitrine.supervisor import state

    output.say("Ctrl-C ends the demo" + (" and stops the services" if started else ""))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        if started:
            output.say("stopping the services")
            state.stop(mesh.data_dir, timeout_s=_STOP_TIMEOUT_S)
