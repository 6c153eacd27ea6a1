from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.gateway import keeper
from services.gateway.store.interface import CatalogChange, Entry
from services.mesh.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from tests.gateway.fakes import photo
from tests.gateway.generation_rigs import (
    activate,
    add_generation,
    catalog_of,
    created_anew,
    delete_catalog,
    drop_generation,
    idle,
    serve,
    until_purged,
    until_ready,
)
from tests.gateway.rigs import CATALOG, Rig, ids, image, item, rigged
from vitrine.v1 import catalog_pb2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that looks often, asks before each step, and takes few products at a time."""
    monkeypatch.setattr(keeper, "PERIOD_S", 0.02)
    monkeypatch.setattr(keeper, "RENEW_S", 0)
    monkeypatch.setattr("services.gateway.generation_building.PAGE_PRODUCTS", 4)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway with a catalogue of 12 products."""
    async with rigged(tmp_path) as made:
        await made.fill(12)
        yield made


async def test_a_catalogue_with_products_is_deleted_by_force_alone(shop: Rig) -> None:
    """Otherwise it is refused, and stays; an empty one goes without."""
    with pytest.raises(FailedPrecondition) as refused:
        await delete_catalog(shop)
    assert refused.value.reason == "NOT_EMPTY"
    assert (await catalog_of(shop)).product_count == 12
    for number in range(12):
        await shop.delete(f"p{number}")
    await delete_catalog(shop)
    with pytest.raises(NotFound):
        await catalog_of(shop)


async def test_a_deleted_catalogue_is_gone_at_once(shop: Rig) -> None:
    """For reads, writes, lists and searches, while its id is taken until the last product is removed."""
    flow = shop.gateway.catalog
    with idle(shop):
        await delete_catalog(shop, force=True)
        assert not (await flow.list_catalogs(catalog_pb2.ListCatalogsRequest())).catalogs
        for attempt in (
            catalog_of(shop),
            shop.get("p1"),
            shop.upsert(item("p1", price=1)),
            shop.upsert(item("p99", photos=[photo(99)])),
            shop.search(image(photo(1))),
            flow.list_products(catalog_pb2.ListProductsRequest(parent=CATALOG)),
            delete_catalog(shop),
            add_generation(shop),
        ):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(AlreadyExists, match="being deleted"):
            await shop.create()
    await created_anew(shop)
    assert (await catalog_of(shop)).product_count == 0
    assert not (await flow.list_products(catalog_pb2.ListProductsRequest(parent=CATALOG))).products
    await shop.upsert(item("p1", photos=[photo(1)]))
    assert ids(await shop.search(image(photo(1)))) == ["p1"]


async def test_a_generation_is_activated_once_the_shards_have_it(shop: Rig) -> None:
    """Not while one of them is behind."""
    serve(shop, "d2")
    await add_generation(shop)
    await until_ready(shop, "g2")
    await shop.sync()
    behind = shop.shards[1].revision
    shop.shards[1].revision = 1
    with pytest.raises(Unavailable) as refused:
        await activate(shop, "g2")
    assert refused.value.reason == "SHARDS_BEHIND"
    shop.shards[1].revision = behind
    shop.shards[1].caught_up = False
    with pytest.raises(Unavailable):
        await activate(shop, "g2")
    shop.shards[1].caught_up = True
    await activate(shop, "g2")


async def test_generations_are_few_and_different(shop: Rig) -> None:
    """Neither the same again, nor two at a time, nor more than three."""

    async def reason(attempt: Any) -> str:
        with pytest.raises(FailedPrecondition) as refused:
            await attempt
        return refused.value.reason

    assert await reason(add_generation(shop)) == "SAME_GENERATION"
    serve(shop, "d2")
    with idle(shop):
        await add_generation(shop)
        serve(shop, "d3")
        assert await reason(add_generation(shop)) == "BUILDING"
        assert await reason(drop_generation(shop, "g1")) == "ACTIVE"
    shop.embedder.others = ["d1", "d2"]
    await until_ready(shop, "g2")
    await add_generation(shop)
    await until_ready(shop, "g3")
    shop.embedder.digest = "d4"
    assert await reason(add_generation(shop)) == "TOO_MANY_GENERATIONS"
    shop.embedder.spaces = []
    assert await reason(add_generation(shop)) == "WEIGHTS_MISSING"
    for attempt in (activate(shop, "g9"), drop_generation(shop, "g9")):
        with pytest.raises(NotFound):
            await attempt


async def test_an_id_is_never_taken_again(shop: Rig) -> None:
    """Each generation of a catalogue has another one, however many were deleted before."""
    for number in (2, 3):
        serve(shop, f"d{number}")
        assert (await add_generation(shop)).generation.id == f"g{number}"
        await drop_generation(shop, f"g{number}")
        await until_purged(shop, f"g{number}")
    serve(shop, "d2")
    assert (await add_generation(shop)).generation.id == "g4"


async def test_an_old_record_spares_rows_that_are_left(shop: Rig) -> None:
    """One that did not count the generations it has had gives no id that rows of a deleted one have."""
    serve(shop, "d2")
    await add_generation(shop)
    await until_ready(shop, "g2")
    with idle(shop):
        await drop_generation(shop, "g2")
        counted = await shop.store.catalog("shop")
        assert counted is not None
        old = CatalogChange("shop", replace(counted, newest=0))
        entry = Entry((await shop.store.bounds()).head + 1, 1, catalogs=(old,))
        await shop.store.append(entry)
        await shop.store.apply(entry)
        serve(shop, "d3")
        assert (await add_generation(shop)).generation.id == "g3"
