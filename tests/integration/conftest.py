from __future__ import annotations

import csv
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser import launched, visitor, watched
from tests.drawings import write_catalog
from tests.mesh.receivers import Receiver, receiving
from tests.meshes import LiveMesh, live_mesh
from vitrine import Client

_ROWS = 150


@dataclass(frozen=True)
class Shop:
    """An indexed catalogue: its id, and the folder that it came from."""

    catalog: str
    folder: Path

    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "products.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def photos(self, count: int) -> list[tuple[str, Path]]:
        """The product and the file of some photos, spread over the catalogue."""
        rows = self.rows()
        return [
            (row["id"], self.folder / "images" / row["image"]) for row in rows[:: max(1, len(rows) // count)]
        ]


@pytest.fixture(scope="package")
def fashion_folder(shared_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some rows of a real catalogue, drawn ones where there is none."""
    folder = tmp_path_factory.mktemp("fashion") / "catalog"
    if shared_data is None:
        return write_catalog(folder)
    source = shared_data / "fashion-products"
    with (source / "products.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    header, rows = table[0], table[1:]
    chosen = rows[:: len(rows) // _ROWS]
    (folder / "images").mkdir(parents=True)
    for row in chosen:
        image = row[header.index("image")]
        shutil.copyfile(source / "images" / image, folder / "images" / image)
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *chosen])
    return folder


@pytest.fixture(scope="package")
def receiver() -> Iterator[Receiver]:
    """Where the services send their spans."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[LiveMesh]:
    """All services as `vitrine up` starts them, with two shards, for the whole run."""
    with pytest.MonkeyPatch.context() as environment:
        for service in ("GATEWAY", "EMBEDDER", "VECTORSEARCH", "RANKER"):
            environment.setenv(f"VITRINE_{service}_OTLP_ENDPOINT", receiver.endpoint)
        environment.setenv("VITRINE_GATEWAY_TRACE_SAMPLE_RATIO", "0.5")
        with live_mesh(tmp_path_factory.mktemp("mesh")) as mesh:
            yield mesh


@pytest.fixture(scope="package")
def drawn(mesh: LiveMesh, drawn_catalog: Path) -> Shop:
    """The drawn catalogue, indexed."""
    return _indexed(mesh, "drawn", drawn_catalog)


@pytest.fixture(scope="package")
def fashion(mesh: LiveMesh, fashion_folder: Path) -> Shop:
    """The real catalogue, indexed."""
    return _indexed(mesh, "fashion", fashion_folder)


@pytest.fixture(params=["drawn", "fashion"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Each indexed catalogue in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Shop)
    return found


@pytest.fixture
def client(mesh: LiveMesh, drawn: Shop) -> Iterator[Client]:
    """A client of the drawn catalogue."""
    with mesh.client(drawn.catalog) as client:
        yield client


# One loop for the package, since one browser serves all of its tests.
@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium."""
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def context(browser: Browser, mesh: LiveMesh) -> AsyncIterator[BrowserContext]:
    """A visitor's browser, in English."""
    async with visitor(browser, mesh.layout.url) as context:
        yield context


@pytest_asyncio.fixture(loop_scope="package")
async def page(context: BrowserContext, mesh: LiveMesh) -> AsyncIterator[Page]:
    """An empty page; what it writes to the console and what it asks of other hosts fails the test."""
    async with watched(context, mesh.layout.url) as page:
        yield page


def _indexed(mesh: LiveMesh, catalog: str, folder: Path) -> Shop:
    shop = Shop(catalog, folder)
    summary = mesh.index(folder, catalog)
    products = len({row["id"] for row in shop.rows()})
    assert (summary["indexed"], summary["failed"], summary["photo_problems"]) == (products, 0, 0)
    return shop
