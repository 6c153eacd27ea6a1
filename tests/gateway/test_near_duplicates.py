from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from services.gateway import near_duplicates
from services.mesh.errors import Unavailable
from tests.gateway.fakes import DIMENSIONS, photo, vector_of
from tests.gateway.generation_rigs import activate, add_generation, serve, until_ready
from tests.gateway.rigs import CATALOG, Rig, item, rigged
from vitrine.v1 import catalog_pb2

BOUND = 0.6


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway that takes photos for near duplicates which are far from that."""
    async with rigged(tmp_path, near_duplicate_cosine=BOUND) as made:
        await made.create()
        yield made


def _cosine(one: int, other: int) -> float:
    return float(vector_of(photo(one), "clip") @ vector_of(photo(other), "clip"))


def _found(duplicates: Iterable[catalog_pb2.NearDuplicate]) -> dict[str, float]:
    return {each.product.rpartition("/")[2]: each.cosine for each in duplicates}


def _check(duplicates: Iterable[catalog_pb2.NearDuplicate], number: int, others: range) -> None:
    """They are the nearest of the others, the nearest first."""
    alike = [(f"p{other}", _cosine(number, other)) for other in others if _cosine(number, other) >= BOUND]
    nearest = dict(sorted(alike, key=lambda each: -each[1])[: near_duplicates.MAX_FOUND])
    found = _found(duplicates)
    assert list(found) == list(nearest)
    # How the sums are rounded is up to the processor.
    assert found == pytest.approx(nearest, abs=1e-5)


async def _write(rig: Rig, *items: catalog_pb2.UpsertProduct) -> list[catalog_pb2.UpsertResult]:
    """Write products of which the shards hear nothing yet."""
    request = catalog_pb2.BatchUpsertProductsRequest(catalog=CATALOG, products=items)
    return list((await rig.gateway.catalog.batch_upsert_products(request)).results)


async def _flagged(rig: Rig, **fields: int | str) -> catalog_pb2.ListProductsResponse:
    request = catalog_pb2.ListProductsRequest(parent=CATALOG, near_duplicates_only=True, **fields)  # type: ignore[arg-type]  # Their kinds differ.
    return await rig.gateway.catalog.list_products(request)


async def test_products_of_a_batch_are_compared_with_those_before_them(rig: Rig) -> None:
    """As if they had been written one by one: the nearest first, and only so many."""
    results = await _write(rig, *(item(f"p{i}", photos=[photo(i)]) for i in range(40)))
    for number, result in enumerate(results):
        _check(result.near_duplicates, number, range(number))
        assert list((await rig.get(f"p{number}")).near_duplicates) == list(result.near_duplicates)
    flagged = {each.product.rpartition("/")[2] for each in results if each.near_duplicates}
    listed: list[str] = []
    page = await _flagged(rig, page_size=3)
    listed += [each.name.rpartition("/")[2] for each in page.products]
    while page.next_page_token:
        page = await _flagged(rig, page_size=3, page_token=page.next_page_token)
        listed += [each.name.rpartition("/")[2] for each in page.products]
    assert listed == sorted(flagged)
    assert 0 < len(flagged) < 40


async def test_what_was_just_written_is_known_before_the_shards_have_it(rig: Rig) -> None:
    """A photo is found in products that no shard has heard of."""
    await _write(rig, item("p1", photos=[photo(1)]))
    [result] = await _write(rig, item("p2", photos=[photo(2), photo(1)]))
    [found] = [each for each in result.near_duplicates if each.cosine == 1]
    assert found.product == f"{CATALOG}/products/p1"
    other = (await rig.get("p1")).photos[0]
    assert (found.photo_id, found.other_photo_id) == (other.id, other.id)
    assert not any(shard.products for shard in rig.shards)


async def test_what_was_written_long_ago_is_found_by_the_shards(rig: Rig, tmp_path: Path) -> None:
    """A gateway that was started anew finds what another one wrote; itself a product is not."""
    await rig.upsert(*(item(f"p{i}", photos=[photo(i)]) for i in range(20)))
    async with rigged(tmp_path, near_duplicate_cosine=BOUND) as later:
        await later.sync()
        [result] = await _write(later, item("p30", photos=[photo(30)]))
        _check(result.near_duplicates, 30, range(20))
        [same] = await _write(later, item("p3", photos=[photo(3), photo(7)]))
        assert f"{CATALOG}/products/p3" not in {each.product for each in same.near_duplicates}
        assert same.near_duplicates[0].product == f"{CATALOG}/products/p7"
        assert same.near_duplicates[0].cosine == 1


async def test_what_is_gone_is_no_duplicate(rig: Rig) -> None:
    """A product that was deleted, or has other photos now, is not told of."""
    await rig.upsert(item("p1", photos=[photo(1)]), item("p2", photos=[photo(2)]))
    await rig.delete("p1")
    await _write(rig, item("p2", clear_photos=True))
    results = await _write(rig, item("p3", photos=[photo(1)]), item("p4", photos=[photo(2)]))
    told = {each.product for result in results for each in result.near_duplicates if each.cosine == 1}
    assert not told


async def test_duplicates_stay_for_as_long_as_their_photos_do(rig: Rig) -> None:
    """A new price keeps them, another photo does not; only new photos are looked for."""
    await rig.upsert(item("p1", photos=[photo(1)]), item("p2", photos=[photo(1)]))
    before = (await rig.get("p2")).near_duplicates
    assert [each.product for each in before] == [f"{CATALOG}/products/p1"]
    [result] = await _write(rig, item("p2", price=5))
    assert not result.near_duplicates
    assert (await rig.get("p2")).near_duplicates == before
    assert len((await _flagged(rig)).products) == 1
    lonely = next(i for i in range(2, 99) if _cosine(1, i) < BOUND)
    await _write(rig, item("p2", photos=[photo(lonely)]))
    assert not (await rig.get("p2")).near_duplicates
    assert not (await _flagged(rig)).products


async def test_shards_that_fail_do_not_fail_a_write(rig: Rig) -> None:
    """What this process remembers is told all the same."""
    for shard in rig.shards:
        shard.fault.error = Unavailable("away")
    await _write(rig, item("p1", photos=[photo(1)]))
    [result] = await _write(rig, item("p2", photos=[photo(1)]))
    assert not result.status.code
    assert [each.cosine for each in result.near_duplicates] == [1]


async def test_photos_are_compared_within_one_model(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before another generation was activated is of another model, of another length."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    monkeypatch.setitem(DIMENSIONS, "clip", 12)
    serve(rig, "d2")
    await add_generation(rig)
    await until_ready(rig, "g2")
    await rig.sync()
    await activate(rig, "g2")
    [by_shards] = await _write(rig, item("p2", photos=[photo(1)]))
    assert _found(by_shards.near_duplicates) == {"p1": 1}
    [by_memory] = await _write(rig, item("p3", photos=[photo(1)]))
    assert list(_found(by_memory.near_duplicates).items()) == [("p1", 1), ("p2", 1)]


async def test_a_search_that_breaks_does_not_fail_a_write(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: the product is written, and nothing told."""
    await _write(rig, item("p1", photos=[photo(1)]))
    with monkeypatch.context() as broken:
        broken.delattr(near_duplicates, "_alike")
        [result] = await _write(rig, item("p2", photos=[photo(1)]))
    assert not result.status.code
    assert not result.near_duplicates
    assert len((await rig.get("p2")).photos) == 1


async def test_nothing_is_looked_for_where_that_is_turned_off(tmp_path: Path) -> None:
    """No shard is asked, and nothing told."""
    async with rigged(tmp_path, near_duplicate_cosine=0) as rig:
        await rig.create()
        results = await _write(rig, item("p1", photos=[photo(1)]), item("p2", photos=[photo(1)]))
        assert not any(result.near_duplicates for result in results)
        assert not any(shard.fault.calls for shard in rig.shards)


async def test_many_photos_that_are_alike_are_bounded(rig: Rig) -> None:
    """A placeholder that half the shop has makes no list of half the shop."""
    results = await _write(rig, *(item(f"p{i}", photos=[photo(1)]) for i in range(60)))
    assert [len(result.near_duplicates) for result in results] == [
        min(i, near_duplicates.MAX_FOUND) for i in range(60)
    ]
