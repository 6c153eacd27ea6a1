from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.drawings import draw
from tests.meshes import PATIENCE_S, LiveMesh, eventually, live_mesh
from vitrine import Client, Photo, Product

pytestmark = pytest.mark.faults

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"
PRODUCTS = {str(1000 + number) for number in range(64)}
TIMEOUT_S = 60.0


def documented(task: str, *, data: Path, backup: Path) -> None:
    """Do what docs/operations.md tells in the block of shell that begins with the comment `task`."""
    text = OPERATIONS.read_text(encoding="utf-8")
    [commands] = re.findall(rf"^```sh\n# {task}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "DATA": str(data), "BACKUP": str(backup)},
        check=True,
        timeout=PATIENCE_S,
    )


@contextmanager
def writing(mesh: LiveMesh) -> Iterator[list[str]]:
    """Write products without a pause as long as the block lasts: those that were acknowledged."""
    written: list[str] = []
    stopping = threading.Event()

    def write() -> None:
        with mesh.client("written") as client:
            client.create_catalog()
            for number in count():
                if stopping.is_set():
                    return
                report = client.upsert([drawn(f"p{number}", number)])
                assert report.outcomes[0].error is None
                written.append(f"p{number}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stopping.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a write hangs"


def drawn(product: str, seed: int) -> Product:
    file = io.BytesIO()
    draw("Shoes", "Red", seed=seed).save(file, "PNG")
    return Product(product, photos=[Photo(file.getvalue())])


def expect_found(client: Client, products: set[str]) -> None:
    """A search for words comes to all of these, and to nothing else, as soon as shards have them."""

    def found() -> set[str]:
        pages = client.pages(text="shoes", k=100, max_staleness_s=0)
        return {hit.product.id for page in pages for hit in page.hits if not page.degraded}

    eventually(lambda: found() == products, what="all products are found")


def expect_pictures(mesh: LiveMesh, client: Client) -> None:
    """Every photo of every product is to be seen."""
    with httpx.Client(base_url=mesh.layout.url, timeout=TIMEOUT_S) as http:
        for product in client.list():
            for photo in product.photos:
                assert http.get(photo.media_path).status_code == httpx.codes.OK


def scores(client: Client) -> dict[str, float]:
    """What is like a product, and how much."""
    results = client.search(product="1000", k=20, max_staleness_s=0)
    assert not results.degraded
    return {hit.product.id: hit.score for hit in results.hits}


def test_a_backup_taken_under_writes_brings_everything_back(tmp_path: Path, drawn_catalog: Path) -> None:
    """With the documented commands all that was acknowledged before a backup is there after the loss of all.

    Products are what they were, are found with the scores that they had, and have their pictures. What was
    written later is not there, and comes back by running its import again.
    """
    data, backup = tmp_path / "data", tmp_path / "backup"
    with live_mesh(tmp_path) as mesh:
        mesh.run_json("index", drawn_catalog, "--catalog", "indexed")
        with mesh.client("indexed") as client:
            expect_found(client, PRODUCTS)
            products, likeness = list(client.list()), scores(client)
        with writing(mesh) as written:
            eventually(lambda: len(written) >= 5, what="some products are written")
            acknowledged = set(written)
            documented("back up", data=data, backup=backup)
            during = len(written)
            eventually(lambda: len(written) > during, what="writing goes on")
        mesh.run_json("index", drawn_catalog, "--catalog", "later")
        mesh.cut_power()
    shutil.rmtree(data)

    documented("put it back", data=data, backup=backup)
    with live_mesh(tmp_path, mesh.layout) as mesh:
        with mesh.client("indexed") as client:
            assert {catalog.id for catalog in client.catalogs()} == {"indexed", "written"}
            assert list(client.list()) == products
            expect_found(client, PRODUCTS)
            assert scores(client) == pytest.approx(likeness)
            expect_pictures(mesh, client)
        with mesh.client("written") as client:
            kept = {product.id for product in client.list()}
            assert acknowledged <= kept
            assert written[-1] not in kept
            expect_found(client, kept)
            expect_pictures(mesh, client)
        summary = mesh.run_json("index", drawn_catalog, "--catalog", "later")
        assert (summary["indexed"], summary["failed"]) == (64, 0)
        with mesh.client("later") as client:
            expect_found(client, PRODUCTS)
