from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from services.gateway import keeper
from services.gateway.assembly import Gateway, assembled
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import Store
from services.gateway.store.sqlite import SqliteStore
from services.mesh.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from tests.gateway.fakes import DIMENSIONS, photo
from tests.gateway.generation_rigs import (
    ACTIVE,
    BUILDING,
    READY,
    activate,
    add_generation,
    catalog_of,
    check_rows,
    created_anew,
    delete_catalog,
    drop_generation,
    idle,
    serve,
    states,
    until,
    until_purged,
    until_ready,
)
from tests.gateway.rigs import CATALOG, Rig, ids, image, item, rigged
from tests.mesh.fetch.servers import reply, serving
from vitrine.v1 import catalog_pb2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that looks often, asks before each step, and takes few products at a time."""
    monkeypatch.setattr(keeper, "PERIOD_S", 0.02)
    monkeypatch.setattr(keeper, "RENEW_S", 0)
    monkeypatch.setattr(keeper, "LEASE_S", 600)
    monkeypatch.setattr("services.gateway.generation_building.PAGE_PRODUCTS", 4)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway with a catalogue of 12 products."""
    async with rigged(tmp_path) as made:
        await made.fill(12)
        yield made


@asynccontextmanager
async def beside(rig: Rig) -> AsyncIterator[Gateway]:
    """Another gateway on the same store."""
    store = SqliteStore(await SqliteDatabase.open(rig.settings.data_dir / "catalog.db"))

    def failed() -> None:
        raise AssertionError("the second gateway failed")

    async with assembled(rig.settings, on_failure=failed, store=store) as gateway:
        yield gateway
    await store.close()


async def test_a_deletion_is_finished_by_another_gateway(tmp_path: Path) -> None:
    """Should the gateway that was asked die, the next one goes on."""
    async with rigged(tmp_path) as first:
        await first.fill(10)
        with idle(first):
            await delete_catalog(first, force=True)
            with pytest.raises(AlreadyExists):
                await first.create()
    async with rigged(tmp_path) as second:
        await created_anew(second)
        assert (await catalog_of(second)).product_count == 0


async def test_writers_that_race_a_deletion_leave_nothing(shop: Rig) -> None:
    """A product is either removed with the catalogue or refused."""

    async def write(number: int) -> bool:
        try:
            await shop.upsert(item(f"q{number}", photos=[photo(number)]))
        except NotFound:
            return False
        return True

    await asyncio.gather(*(write(number) for number in range(8)), delete_catalog(shop, force=True))
    await created_anew(shop)
    assert (await catalog_of(shop)).product_count == 0
    await shop.sync()
    assert not any(products for shard in shop.shards for products in shard.held.values())


async def test_a_generation_is_built_beside_the_active_one(shop: Rig) -> None:
    """Every product is embedded by its models; searches use it once it is activated."""
    serve(shop, "d2")
    added = await add_generation(shop)
    assert (added.generation.id, added.state) == ("g2", BUILDING)
    assert {spec.model_digest for spec in added.generation.spaces} == {"d2"}
    await until_ready(shop, "g2")
    assert await states(shop) == {"g1": ACTIVE, "g2": READY}
    before = await shop.search(image(photo(3)))
    assert (ids(before)[0], before.generation) == ("p3", "g1")
    await shop.sync()
    photos = {f"p{i}": [photo(i)] for i in range(12)}
    check_rows(shop, "g1", "d1", photos)
    check_rows(shop, "g2", "d2", photos)
    catalog = await activate(shop, "g2")
    assert catalog.active_generation.id == "g2"
    assert [each.product_count for each in catalog.generations] == [12, 12]
    after = await shop.search(image(photo(3)), k=3)
    assert (ids(after)[0], after.generation) == ("p3", "g2")
    assert await states(shop) == {"g1": READY, "g2": ACTIVE}
    assert [label.value for label in (await shop.get("p3")).labels] == ["Women"]
    await shop.sync()
    await activate(shop, "g1")
    assert (await shop.search(image(photo(3)), k=3)).generation == "g1"


async def test_writes_go_to_every_generation(shop: Rig) -> None:
    """Also while one is being built, whether or not its turn has come; the embedder is asked once."""
    serve(shop, "d2")
    shop.embedder.fault.error = Unavailable("busy")
    with pytest.raises(Unavailable):
        await add_generation(shop)
    shop.embedder.fault.error = None
    with idle(shop):
        await add_generation(shop)
        shop.embedder.asked.clear()
        await shop.upsert(
            item("p20", photos=[photo(20)]), item("p3", photos=[photo(3), photo(33)]), item("p4", price=1)
        )
        assert sorted(len(request.images) for request in shop.embedder.asked) == [1, 2]
        await shop.delete("p5")
        await shop.upsert(item("p6", clear_photos=True))
        assert (await catalog_of(shop)).generations[1].product_count == 3
    await until_ready(shop, "g2")
    await shop.upsert(item("p21", photos=[photo(21)]), item("p7", photos=[photo(77)]))
    await shop.sync()
    photos = {f"p{i}": [photo(i)] for i in (*range(12), 20, 21) if i != 5}
    photos |= {"p3": [photo(3), photo(33)], "p6": [], "p7": [photo(77)]}
    check_rows(shop, "g1", "d1", photos)
    check_rows(shop, "g2", "d2", photos)


async def test_a_photo_that_is_kept_for_its_address_is_left_to_the_builder(tmp_path: Path) -> None:
    """A write that has no content of it does not wait for its vectors in a new generation."""
    async with serving() as host, rigged(tmp_path, fetch_allowed_hosts=["127.0.0.1"]) as rig:
        host.replies = {"/1": reply(200, photo(1))}
        await rig.create()
        linked = item("p1")
        linked.product.photos.add().image.uri = f"{host.here}/1"
        await rig.upsert(linked)
        serve(rig, "d2")
        with idle(rig):
            await add_generation(rig)
            linked.product.photos.add().image.content = photo(2)
            await rig.upsert(linked)
            assert await rig.store.covered("shop", "g2") == 0
        await until_ready(rig, "g2")
        await rig.sync()
        check_rows(rig, "g1", "d1", {"p1": [photo(1), photo(2)]})
        check_rows(rig, "g2", "d2", {"p1": [photo(1), photo(2)]})
        assert host.paths == ["/1"]


async def test_writers_that_race_a_build_lose_nothing(shop: Rig) -> None:
    """Whatever is written while products are embedded is as its last writer wanted, in both generations."""
    serve(shop, "d2")
    photos = {f"p{i}": [photo(i)] for i in range(12)}

    async def write(turn: int) -> None:
        for number in range(12):
            if number % 3 == turn:
                photos[f"p{number}"] = [photo(100 + number)]
                await shop.upsert(item(f"p{number}", photos=photos[f"p{number}"]))
            elif number % 3 == (turn + 1) % 3:
                await shop.upsert(item(f"p{number}", price=turn))

    await asyncio.gather(add_generation(shop), *(write(turn) for turn in range(2)))
    await until_ready(shop, "g2")
    await shop.sync()
    check_rows(shop, "g1", "d1", photos)
    check_rows(shop, "g2", "d2", photos)


async def test_vectors_of_models_in_common_are_taken_over(tmp_path: Path) -> None:
    """A generation with one more space embeds that space alone, from the pictures that were kept."""
    async with rigged(tmp_path) as rig:
        rig.embedder.spaces = ["resnet50", "clip"]
        await rig.fill(6)
        rig.embedder.spaces = list(DIMENSIONS)
        rig.embedder.asked.clear()
        await add_generation(rig)
        await until_ready(rig, "g2")
        assert {tuple(request.spaces) for request in rig.embedder.asked} == {("triplet@d1",)}
        assert sum(len(request.images) for request in rig.embedder.asked) == 6
        await rig.sync()
        check_rows(rig, "g2", "d1", {f"p{i}": [photo(i)] for i in range(6)})


async def test_a_build_tells_why_it_stands(shop: Rig) -> None:
    """It goes on by itself once the models are there."""
    serve(shop, "d2")
    with idle(shop):
        await add_generation(shop)
        shop.embedder.digest = "d1"

    async def stands() -> bool:
        return bool((await catalog_of(shop)).generations[1].problem)

    await until(stands)
    assert (await catalog_of(shop)).generations[1].problem.startswith("MODEL_MISMATCH")
    with pytest.raises(FailedPrecondition) as refused:
        await activate(shop, "g2")
    assert refused.value.reason == "BUILDING"
    with pytest.raises(FailedPrecondition) as refused:
        await shop.upsert(item("p30", photos=[photo(30)]))
    assert refused.value.reason == "MODEL_MISMATCH"
    serve(shop, "d2")
    await until_ready(shop, "g2")
    assert not (await catalog_of(shop)).generations[1].problem


async def test_a_photo_that_cannot_be_embedded_holds_up_nothing(tmp_path: Path) -> None:
    """Its product is in the new generation without it."""
    async with rigged(tmp_path) as rig:
        await rig.fill(6)
        serve(rig, "d2")
        rig.embedder.refused = [photo(2)]
        await add_generation(rig)
        await until_ready(rig, "g2")
        await rig.sync()
        check_rows(rig, "g2", "d2", {f"p{i}": [photo(i)] if i != 2 else [] for i in range(6)})


async def _problem(rig: Rig) -> str:
    """Why the second generation is not built, once there is a reason."""
    found = ""

    async def stands() -> bool:
        nonlocal found
        found = (await catalog_of(rig)).generations[1].problem
        return bool(found)

    await until(stands)
    return found


async def test_a_picture_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """Its product is named, the others are built, and all is done once the photo is taken from it."""
    async with rigged(tmp_path) as rig:
        await rig.fill(6)
        lost = (await rig.get("p2")).photos[0]
        (tmp_path / "media" / lost.media_path.rpartition("/")[2]).unlink()
        serve(rig, "d2")
        await add_generation(rig)
        problem = await _problem(rig)
        assert problem.startswith("NOT_FOUND")
        assert "catalogs/shop/products/p2" in problem

        async def others_are_built() -> bool:
            return (await catalog_of(rig)).generations[1].product_count == 5

        await until(others_are_built)
        assert await states(rig) == {"g1": ACTIVE, "g2": BUILDING}
        await rig.upsert(item("p2", clear_photos=True))
        await until_ready(rig, "g2")
        await rig.upsert(item("p2", photos=[photo(2)]))
        check_rows(rig, "g2", "d2", {f"p{i}": [photo(i)] for i in range(6)})


async def test_a_host_that_refuses_for_a_while_takes_no_photo_away(tmp_path: Path) -> None:
    """The generation waits until the host of its pictures gives them again, and embeds nothing twice."""
    here = ["127.0.0.1"]
    async with (
        serving() as host,
        rigged(tmp_path, fetch_allowed_hosts=here, media_redirect_hosts=here) as rig,
    ):
        host.replies = {"/1": reply(200, photo(1)), "/2": reply(200, photo(2))}
        await rig.create()
        linked = item("p1")
        for path in host.replies:
            linked.product.photos.add().image.uri = host.here + path
        await rig.upsert(linked)
        host.replies["/2"] = reply(403)
        serve(rig, "d2")
        rig.embedder.images = 0
        await add_generation(rig)
        assert (await _problem(rig)).startswith("URI_NOT_FOUND")
        assert await rig.store.covered("shop", "g2") == 0
        host.replies["/2"] = reply(200, photo(2))
        await until_ready(rig, "g2")
        await rig.sync()
        check_rows(rig, "g2", "d2", {"p1": [photo(1), photo(2)]})
        assert rig.embedder.images == 2


async def test_a_photo_that_comes_while_its_product_is_embedded_is_not_lost(tmp_path: Path) -> None:
    """What was made for the product as it was does not make it ready as it is."""
    async with serving() as host, rigged(tmp_path, fetch_allowed_hosts=["127.0.0.1"]) as rig:
        host.replies = {"/1": reply(200, photo(1))}
        await rig.create()
        linked = item("p1")
        linked.product.photos.add().image.uri = f"{host.here}/1"
        await rig.upsert(linked)
        linked.product.photos.add().image.content = photo(2)
        read, raced = rig.store.lacking, asyncio.Event()

        async def late(*asked: Any) -> Any:
            stored = await read(*asked)
            if stored and not raced.is_set():
                raced.set()
                await rig.upsert(linked)
            return stored

        serve(rig, "d2")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rig.store, "lacking", late, raising=False)
            await add_generation(rig)
            await until_ready(rig, "g2")
        assert raced.is_set()
        await rig.sync()
        check_rows(rig, "g1", "d1", {"p1": [photo(1), photo(2)]})
        check_rows(rig, "g2", "d2", {"p1": [photo(1), photo(2)]})


async def test_a_photo_without_vectors_comes_first(tmp_path: Path) -> None:
    """Kept for its address, and refused by the only models there are: nothing is inferred from it."""
    async with serving() as host, rigged(tmp_path, fetch_allowed_hosts=["127.0.0.1"]) as rig:
        host.replies = {f"/{i}": reply(200, photo(i)) for i in (1, 2, 3)}

        def linked(product_id: str, *numbers: int) -> catalog_pb2.UpsertProduct:
            made = item(product_id)
            for number in numbers:
                made.product.photos.add().image.uri = f"{host.here}/{number}"
            return made

        await rig.create()
        await rig.upsert(linked("p1", 1, 2))
        serve(rig, "d2")
        rig.embedder.refused = [photo(2)]
        await add_generation(rig)
        await until_ready(rig, "g2")
        await rig.sync()
        await activate(rig, "g2")
        await drop_generation(rig, "g1")
        await until_purged(rig, "g1")
        response = await rig.upsert(linked("p1", 2, 1), linked("p2", 3))
        assert not any(result.status.code for result in response.results)
        assert not (await rig.get("p1")).labels
        assert (await rig.get("p2")).labels
        assert len((await rig.get("p1")).photos) == 2
        check_rows(rig, "g2", "d2", {"p1": [photo(1)], "p2": [photo(3)]})


async def test_rows_of_a_deleted_generation_count_for_nothing(tmp_path: Path) -> None:
    """While they wait to be removed, a photo's id may have come to mean another photo."""

    def named(**photos: bytes) -> catalog_pb2.UpsertProduct:
        made = item("p1")
        for photo_id, content in photos.items():
            made.product.photos.add(id=photo_id).image.content = content
        return made

    async with rigged(tmp_path) as rig:
        await rig.create()
        await rig.upsert(named(front=photo(1)))
        rig.embedder.spaces = ["clip"]
        await add_generation(rig)
        await until_ready(rig, "g2")
        with idle(rig):
            await drop_generation(rig, "g2")
            await rig.upsert(named(front=photo(2)))
            await rig.upsert(named(front=photo(2), back=photo(3)))
            assert await rig.store.covered("shop", "g2") == 1
        check_rows(rig, "g1", "d1", {"p1": [photo(2), photo(3)]})


async def test_a_build_is_resumed_by_another_gateway(tmp_path: Path) -> None:
    """What one that dies has embedded is not embedded again."""
    async with rigged(tmp_path) as first:
        await first.fill(12)
        serve(first, "d2")
        first.embedder.images = 0
        # The third call finds no end: the gateway dies in the middle of it.
        first.embedder.hang_after = 2
        await add_generation(first)

        async def hangs() -> bool:
            return first.embedder.images == 12

        await until(hangs)
        assert (await catalog_of(first)).generations[1].product_count == 8
    async with rigged(tmp_path) as second:
        serve(second, "d2")
        await until_ready(second, "g2")
        assert second.embedder.images == 4
        await second.sync()
        check_rows(second, "g2", "d2", {f"p{i}": [photo(i)] for i in range(12)})


async def test_two_gateways_do_the_work_of_one(shop: Rig) -> None:
    """Of several on a store one builds, and either is asked how far it is."""
    async with beside(shop) as other:
        serve(shop, "d2")
        shop.embedder.images = 0
        request = catalog_pb2.CreateGenerationRequest(parent=CATALOG)
        await other.catalog.create_generation(request)
        await until_ready(shop, "g2")
        read = await other.catalog.get_catalog(catalog_pb2.GetCatalogRequest(name=CATALOG))
        assert read.catalog.generations[-1].state == READY
        assert shop.embedder.images == 12


async def test_a_deleted_generation_leaves_nothing(shop: Rig) -> None:
    """Its rows go everywhere, and the next one is built under an id of its own."""
    serve(shop, "d2")
    await add_generation(shop)
    await until_ready(shop, "g2")
    await drop_generation(shop, "g2")
    await until_purged(shop, "g2")
    await shop.sync()
    check_rows(shop, "g2", "d2", {})
    assert await states(shop) == {"g1": ACTIVE}
    shop.embedder.others = []
    serve(shop, "d3")
    await add_generation(shop)
    await until_ready(shop, "g3")
    await shop.sync()
    check_rows(shop, "g2", "d2", {})
    check_rows(shop, "g3", "d3", {f"p{i}": [photo(i)] for i in range(12)})


async def test_a_keeper_that_stood_still_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on with an old record removes no rows of a generation that was built meanwhile."""
    monkeypatch.setattr(keeper, "LEASE_S", 0)
    stands, resumed, gone_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with rigged(tmp_path) as rig:
        purge = rig.store.purge

        async def slow_purge(*args: Any, **options: Any) -> int:
            stands.set()
            await resumed.wait()
            found: int = await purge(*args, **options)
            gone_on.set()
            return found

        monkeypatch.setattr(rig.store, "purge", slow_purge, raising=False)
        await rig.fill(12)
        await asyncio.wait_for(stands.wait(), 60)
        async with beside(rig) as other:
            serve(rig, "d2")
            await other.catalog.create_generation(catalog_pb2.CreateGenerationRequest(parent=CATALOG))
            await until_ready(rig, "g2")
            resumed.set()
            await asyncio.wait_for(gone_on.wait(), 60)
            assert await rig.store.covered("shop", "g2") == 12


class BusyStore:
    """Whoever wants a lease of it hears that another one has it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def lease(self, *_: object) -> bool:
        self.asked.set()
        return False


async def test_a_keeper_that_is_nudged_as_it_ends_does_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far the nudge has come by then."""
    monkeypatch.setattr(keeper, "PERIOD_S", 3600)

    async def run(turns: int) -> None:
        store = BusyStore()
        made = keeper.Keeper(store=cast(Store, store), log=cast(Any, None), builder=cast(Any, None))
        async with made.running(lambda: None):
            await store.asked.wait()
            made.nudge()
            for _ in range(turns):
                await asyncio.sleep(0)

    for turns in range(6):
        task = asyncio.create_task(run(turns))
        done, _ = await asyncio.wait([task], timeout=60)
        assert done == {task}
        await task


async def test_a_build_that_is_given_up_stops(shop: Rig) -> None:
    """A generation can be deleted while it is being built."""
    serve(shop, "d2")
    shop.embedder.fault.delay_s = 0.05
    await add_generation(shop)
    await drop_generation(shop, "g2")
    assert await states(shop) == {"g1": ACTIVE}
    await until_purged(shop, "g2")
