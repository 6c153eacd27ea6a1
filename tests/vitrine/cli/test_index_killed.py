from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.meshes import eventually
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.fake_gateway import FakeGateway
from vitrine.v1 import catalog_pb2

PRODUCTS = 60


class SlowGateway(FakeGateway):
    """Acknowledges as many calls as it is told, and then lets the others wait."""

    def __init__(self) -> None:
        super().__init__()
        self.room = threading.Semaphore(0)
        self.is_full = threading.Event()
        self.written: Counter[str] = Counter()

    def BatchUpsertProducts(self, request: Any, context: Any) -> catalog_pb2.BatchUpsertProductsResponse:
        if not self.room.acquire(blocking=False):
            self.is_full.set()
            self.room.acquire(timeout=TIMEOUT_S)
        if not context.is_active():
            # Whoever asked was killed: the request may not have arrived at all.
            return catalog_pb2.BatchUpsertProductsResponse()
        response = super().BatchUpsertProducts(request, context)
        self.written.update(result.product for result in response.results if not result.unchanged)
        return response


@pytest.fixture
def gateway() -> Iterator[SlowGateway]:
    serving = SlowGateway()
    with serving.serving():
        yield serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    rows = ["id,image,title"]
    for number in range(PRODUCTS):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(f"photo {number}".encode())
        rows.append(f"p{number},{number}.jpg,Shirt {number}")
    (tmp_path / "products.csv").write_text("\n".join(rows))
    return tmp_path


def command(gateway: FakeGateway, folder: Path) -> Sequence[str]:
    server = ("--server", gateway.address, "--catalog", "shop", "--json")
    return (sys.executable, "-m", "vitrine", "index", str(folder), *server)


def test_an_import_that_is_killed_goes_on_where_it_was(gateway: SlowGateway, folder: Path) -> None:
    """After kill -9 the same command writes what is missing: nothing is lost, nothing is written twice."""
    gateway.room.release(2)
    killed = subprocess.Popen(command(gateway, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert gateway.is_full.wait(TIMEOUT_S)
    # The calls for which there was room may be under way still.
    eventually(lambda: bool(gateway.written), what="something is written")
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(TIMEOUT_S) == -signal.SIGKILL
    before = len(gateway.catalogs["shop"])
    assert 0 < before < PRODUCTS

    gateway.room.release(1_000)
    ended = subprocess.run(
        command(gateway, folder), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["indexed"] + summary["unchanged"] == PRODUCTS
    assert summary["unchanged"] >= before
    assert len(gateway.catalogs["shop"]) == PRODUCTS
    assert set(gateway.written.values()) == {1}


def test_two_imports_at_once_end_as_one(gateway: SlowGateway, folder: Path) -> None:
    """Started twice by mistake, both end well and the catalogue is as after one."""
    gateway.room.release(1_000)
    running = [
        subprocess.Popen(command(gateway, folder), stdout=subprocess.DEVNULL, env=dict(os.environ))
        for _ in range(2)
    ]
    assert [process.wait(TIMEOUT_S) for process in running] == [0, 0]
    assert len(gateway.catalogs["shop"]) == PRODUCTS
