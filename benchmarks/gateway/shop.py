"""The mesh that is measured: real processes on an indexed catalogue."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.report import progress
from vitrine import Client

PORT_BASE = 58151
HTTP_PORT = 58180
CATALOG = "bench"

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Shop:
    """A running mesh, started by `up`."""

    up: psutil.Popen

    @property
    def server(self) -> str:
        """The gateway's gRPC address."""
        return f"127.0.0.1:{PORT_BASE}"

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://127.0.0.1:{HTTP_PORT}"

    def gateway(self) -> psutil.Process:
        """The gateway's process as it is now."""
        for child in self.up.children(recursive=True):
            if "services.gateway" in child.cmdline():
                return child
        raise SystemExit("the mesh has no gateway")

    def wait(self) -> None:
        """Return once it can be searched; ends the process when that does not come to pass."""
        give_up = time.monotonic() + _START_TIMEOUT_S
        command = [sys.executable, "-m", "vitrine", "status", "--json", "--server", self.server]
        while subprocess.run(command, capture_output=True, check=False).returncode:
            if self.up.poll() is not None or time.monotonic() > give_up:
                raise SystemExit("the mesh did not start; run `vitrine up` to see why")
            time.sleep(1)

    def product_ids(self) -> list[str]:
        """What is indexed."""
        with Client(self.server, catalog=CATALOG) as client:
            return [product.id for product in client.list()]


@contextlib.contextmanager
def running(models_dir: Path, data_dir: Path) -> Iterator[Shop]:
    """Start a mesh, and stop it at the end."""
    command = [sys.executable, "-m", "vitrine", "up", "--port-base", str(PORT_BASE)]
    command += ["--http-port", str(HTTP_PORT), "--data-dir", str(data_dir), "--models-dir", str(models_dir)]
    with (data_dir / "up.log").open("wb") as log:
        up = psutil.Popen(command, stdout=log, stderr=log, env=os.environ)
        shop = Shop(up)
        try:
            shop.wait()
            yield shop
        finally:
            up.terminate()
            up.wait(_STOP_TIMEOUT_S)


@contextlib.contextmanager
def opened(catalog_dir: Path, models_dir: Path, data_dir: Path) -> Iterator[Shop]:
    """A mesh with a catalogue folder indexed."""
    with running(models_dir, data_dir) as shop:
        progress("indexing")
        command = ["index", str(catalog_dir), "--catalog", CATALOG, "--server", shop.server]
        subprocess.run(
            [sys.executable, "-m", "vitrine", *command], check=True, stdout=subprocess.PIPE, env=os.environ
        )
        yield shop
