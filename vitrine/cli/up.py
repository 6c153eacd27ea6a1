"""`vitrine up`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli import output
from vitrine.cli.options import (
    CacheOption,
    DataDirOption,
    HttpPortOption,
    JsonOption,
    ModelsDirOption,
    PortBaseOption,
    ShardsOption,
    StoreOption,
)
from vitrine.supervisor.layout import DEFAULT_HTTP_PORT, DEFAULT_PORT_BASE

if TYPE_CHECKING:
    from vitrine.supervisor.mesh import Mesh
    from vitrine.supervisor.sinks import Sink


def up(
    port_base: PortBaseOption = DEFAULT_PORT_BASE,
    http_port: HttpPortOption = DEFAULT_HTTP_PORT,
    shards: ShardsOption = 1,
    data_dir: DataDirOption = None,
    models_dir: ModelsDirOption = None,
    store: StoreOption = "",
    cache: CacheOption = "",
    log_dir: Annotated[
        Path | None, typer.Option("--log-dir", help="Log to files there, which rotate, instead of here.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it is ready; `vitrine down` stops it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Start all services, until Ctrl-C. One that dies is restarted."""
    import asyncio

    mesh = mesh_of(port_base, http_port, shards, data_dir, models_dir, store_url=store, cache_url=cache)
    if detach:
        state = mesh.start_detached()
        _ready(mesh, pid=state.pid, json=json)
        return
    sink = _sink(log_dir)
    try:
        asyncio.run(mesh.run(sink, on_ready=lambda: _ready(mesh, pid=os.getpid(), json=json)))
    finally:
        sink.close()


def mesh_of(
    port_base: int,
    http_port: int,
    shards: int,
    data_dir: Path | None,
    models_dir: Path | None,
    *,
    store_url: str = "",
    cache_url: str = "",
) -> Mesh:
    """The mesh that options ask for."""
    from services.mesh.models_dir import models_dir_default
    from vitrine.cli.mesh import expanded
    from vitrine.supervisor.layout import Layout, data_dir_default
    from vitrine.supervisor.mesh import Mesh

    return Mesh(
        Layout(port_base, http_port, shards),
        expanded(data_dir, data_dir_default()),
        expanded(models_dir, models_dir_default()),
        store_url=store_url,
        cache_url=cache_url,
    )


def _sink(log_dir: Path | None) -> Sink:
    from vitrine.supervisor.sinks import FileSink, JsonSink, TerminalSink

    if log_dir is not None:
        return FileSink(log_dir)
    return TerminalSink(output.err()) if output.err().is_terminal else JsonSink(sys.stderr)


def _ready(mesh: Mesh, *, pid: int, json: bool) -> None:
    from vitrine.supervisor.layout import data_dir_default

    layout = mesh.layout
    if json:
        ready: dict[str, Any] = {"ready": True, "pid": pid, "url": layout.url, "server": layout.gateway}
        output.print_json({**ready, "services": layout.addresses})
        sys.stdout.flush()
    else:
        output.out().print(f"ready: {layout.url} (page and HTTP), {layout.gateway} (gRPC)", soft_wrap=True)
        if mesh.data_dir != data_dir_default().absolute():
            output.say(f"other commands find it by VITRINE_DATA_DIR={mesh.data_dir}, or --data-dir")
