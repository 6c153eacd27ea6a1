from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.gateway.feed import FeedFlow
from services.gateway.server import add_feed, add_services
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import Bounds, CatalogChange, Store
from services.gateway.store.log import ChangeLog
from services.gateway.store.sqlite import SqliteStore
from services.mesh import channel
from services.mesh.buckets import bucket_of
from services.mesh.errors import InvalidArgument, OutOfRange, Unavailable
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from tests.gateway.fakes import photo
from tests.gateway.rigs import Rig, item, rigged
from tests.gateway.store_suite import commit, record, written
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path, shards=1, feed_heartbeat_s=0.1) as made:
        await made.create()
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = SqliteStore(await SqliteDatabase.open(tmp_path / "of-the-feed.db"))
    yield made
    await made.close()


class CountingStore:
    """Counts how often somebody looks how far the log reaches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.looks = 0
        self.looked = asyncio.Event()

    async def bounds(self) -> Bounds:
        self.looks += 1
        self.looked.set()
        return await self._store.bounds()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@asynccontextmanager
async def fed(store: Store) -> AsyncIterator[FeedFlow]:
    """A feed of a store that never has a heartbeat."""
    log = ChangeLog(store, keep_entries=100, poll_s=0.01)
    await log.start()
    async with log.running(lambda: None):
        yield FeedFlow(store, log, heartbeat_s=1e9)


async def _until(
    frames: AsyncIterator[catalog_pb2.FollowResponse], revision: int
) -> list[catalog_pb2.FollowResponse]:
    """Frames up to the one that reaches a revision."""
    seen = []
    async for frame in frames:
        seen.append(frame)
        if frame.revision >= revision:
            return seen
    raise AssertionError("the feed ended")


async def test_changes_come_in_order_and_as_they_happen(rig: Rig) -> None:
    """A follower gets what was, then what comes: rows with vectors, attributes alone, tombstones."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    frames = rig.gateway.feed.follow(catalog_pb2.FollowRequest())
    changes = [change for frame in await _until(frames, 2) for change in frame.changes]
    await rig.upsert(item("p1", price=3))
    await rig.delete("p1")
    seen = await _until(frames, 4)
    changes += [change for frame in seen for change in frame.changes]
    assert [change.WhichOneof("kind") for change in changes] == [
        "catalog_generations",
        "rows",
        "attributes",
        "tombstone",
    ]
    assert [change.revision for change in changes] == [1, 2, 3, 4]
    assert list(changes.pop(0).catalog_generations.generations) == ["g1"]
    rows = changes[0].rows
    assert rows.generation == "g1"
    assert {vector.space for vector in rows.photos[0].vectors} == {"resnet50", "clip", "triplet"}
    assert rows.attributes.labels[0].value == "Women"
    assert changes[1].attributes.attributes["price"].values[0].number == 3
    assert seen[-1].head_revision == 4
    assert changes[0].bucket == bucket_of("shop", "p1")


async def test_watermarks_come_without_changes(rig: Rig) -> None:
    """A follower of other buckets learns how far the log is, and hears from the feed when nothing happens."""
    other = (bucket_of("shop", "p1") + 1) % 1024
    frames = rig.gateway.feed.follow(catalog_pb2.FollowRequest(after_revision=1, buckets=[other]))
    first = await anext(frames)
    assert (first.revision, first.head_revision) == (1, 1)
    await rig.upsert(item("p1"))
    assert not any(frame.changes for frame in await _until(frames, 2))
    async with asyncio.timeout(60):
        beats = [await anext(frames) for _ in range(2)]
    assert {beat.revision for beat in beats} == {2}


async def test_frames_are_bounded(rig: Rig) -> None:
    """Large entries come in several frames, of which only the last reaches their revision."""
    await rig.upsert(*(item(f"p{i}") for i in range(150)))
    frames = await _until(rig.gateway.feed.follow(catalog_pb2.FollowRequest(after_revision=1)), 2)
    assert [len(frame.changes) for frame in frames] == [64, 64, 22]
    assert [frame.revision for frame in frames] == [1, 1, 2]


async def test_a_follower_beyond_the_log_has_to_scan(rig: Rig) -> None:
    """A revision that the log does not have yet, or no longer, is OUT_OF_RANGE; bad buckets are refused."""
    await rig.upsert(item("p1"))
    with pytest.raises(OutOfRange):
        await anext(rig.gateway.feed.follow(catalog_pb2.FollowRequest(after_revision=5)))
    with pytest.raises(OutOfRange):
        await anext(rig.gateway.feed.follow(catalog_pb2.FollowRequest(after_revision=-1)))
    with pytest.raises(InvalidArgument) as refused:
        await anext(rig.gateway.feed.follow(catalog_pb2.FollowRequest(buckets=[0, 1024])))
    assert refused.value.field == "buckets[1]"
    with pytest.raises(InvalidArgument):
        await anext(rig.gateway.feed.scan(catalog_pb2.ScanRequest(buckets=[-1])))


async def test_a_scan_is_the_present_state(rig: Rig) -> None:
    """A scan tells where to follow from, then all living products with their vectors, in bounded frames."""
    await rig.upsert(*(item(f"p{i}", photos=[photo(i)]) for i in range(70)))
    await rig.delete("p3")
    frames = [frame async for frame in rig.gateway.feed.scan(catalog_pb2.ScanRequest())]
    assert {frame.revision for frame in frames} == {3}
    assert not frames[0].changes
    assert max(len(frame.changes) for frame in frames) <= 64
    first, *changes = [change for frame in frames for change in frame.changes]
    assert list(first.catalog_generations.generations) == ["g1"]
    assert len(changes) == 69
    assert all(len(change.rows.photos) == 1 for change in changes)


async def test_every_generation_comes_by_itself(store: Store) -> None:
    """A product that was written for several generations at once is a change for each, of one revision."""
    rows = {name: catalog_pb2.ProductRows(generation=name).SerializeToString() for name in ("g1", "g2")}
    await commit(store, written("a", "shirt", rows=rows), catalogs=[CatalogChange("shop", record("shop"))])
    async with fed(store) as feed:
        frame = await anext(feed.follow(catalog_pb2.FollowRequest()))
    first, *rest = frame.changes
    assert first.WhichOneof("kind") == "catalog_generations"
    assert [change.rows.generation for change in rest] == ["g1", "g2"]
    assert {change.revision for change in rest} == {1}


async def test_catalogues_come_to_every_follower(store: Store) -> None:
    """Whatever its buckets, it hears of generations that are built, and of none once a catalogue goes."""
    shop = record("shop", "g1", "g2")
    for each in (shop, replace(shop, is_deleting=True), None):
        await commit(store, catalogs=[CatalogChange("shop", each)])
    other = (bucket_of("shop", "a") + 1) % 1024
    async with fed(store) as feed:
        frames = await _until(feed.follow(catalog_pb2.FollowRequest(buckets=[other])), 3)
    changes = [change for frame in frames for change in frame.changes]
    kept = [list(change.catalog_generations.generations) for change in changes]
    assert kept == [["g1", "g2"], [], []]
    assert [(change.catalog, change.product_id, change.bucket) for change in changes] == [("shop", "", 0)] * 3


async def test_a_scan_shows_living_catalogues_alone(store: Store) -> None:
    """It begins with their generations, and has no row of others, be they old or just being made."""
    rows = {name: catalog_pb2.ProductRows(generation=name).SerializeToString() for name in ("g1", "g2")}
    dying = replace(record("art"), is_deleting=True)
    catalogs = [CatalogChange("shop", record("shop", "g2", "g3")), CatalogChange("art", dying)]
    await commit(
        store,
        written("a", rows=rows),
        written("b", rows={"g1": rows["g1"]}),
        written("c", catalog="art", rows=rows),
        catalogs=catalogs,
    )
    async with fed(store) as feed:
        frames = [frame async for frame in feed.scan(catalog_pb2.ScanRequest())]
    first, *rest = [change for frame in frames for change in frame.changes]
    assert (first.catalog, list(first.catalog_generations.generations)) == ("shop", ["g2", "g3"])
    assert [(change.product_id, change.rows.generation) for change in rest] == [("a", "g2")]


async def test_writes_of_other_gateways_come_soon(store: Store) -> None:
    """A follower of one gateway sees what another one writes without waiting for the heartbeat."""
    async with fed(store) as feed:
        frames = feed.follow(catalog_pb2.FollowRequest())
        await anext(frames)
        waiting = asyncio.create_task(_until(frames, 1))
        await asyncio.sleep(0)
        await commit(store, written("a", rows=None))
        seen = await asyncio.wait_for(waiting, 60)
    assert [change.product_id for frame in seen for change in frame.changes] == ["a"]


async def test_the_store_is_not_asked_while_nobody_follows(store: Store) -> None:
    """One task looks for news for all followers, and none once the last has gone."""
    counting = CountingStore(store)
    log = ChangeLog(cast(Store, counting), keep_entries=100, poll_s=1e-4)
    feed = FeedFlow(store, log, heartbeat_s=1e9)
    async with log.running(lambda: None):
        following = [feed.follow(catalog_pb2.FollowRequest()) for _ in range(3)]
        for frames in following:
            await anext(frames)
        counting.looks = 0
        counting.looked.clear()
        await asyncio.wait_for(counting.looked.wait(), 60)
        for frames in following:
            await frames.aclose()
        counting.looks = 0
        # Long enough for many looks.
        for _ in range(100):
            await store.applied()
        # One was under way.
        assert counting.looks <= 1


async def test_a_store_that_is_away_ends_the_feed(rig: Rig) -> None:
    """A follower is told, and comes again."""
    rig.store.is_away = True
    with pytest.raises(Unavailable):
        await anext(rig.gateway.feed.follow(catalog_pb2.FollowRequest()))


async def test_the_services_over_grpc(rig: Rig) -> None:
    """Every service answers on one server, and a drain does not wait for feeds that never end."""
    host = Host(ServiceSettings(port=0, metrics_port=0, drain_s=600, log_level="ERROR"), "gateway")
    add_services(host, rig.gateway)
    add_feed(host, rig.gateway.feed)
    port = await host.start()
    waiting = asyncio.create_task(host.wait())
    async with channel.connect(f"127.0.0.1:{port}") as connected:
        catalog = catalog_pb2_grpc.CatalogServiceStub(connected)
        name = "catalogs/shop"
        await channel.call(
            catalog.CreateCatalog, catalog_pb2.CreateCatalogRequest(catalog_id="grpc"), timeout_s=60
        )
        await channel.call(catalog.GetCatalog, catalog_pb2.GetCatalogRequest(name=name), timeout_s=60)
        await channel.call(catalog.ListCatalogs, catalog_pb2.ListCatalogsRequest(), timeout_s=60)
        upsert = catalog_pb2.BatchUpsertProductsRequest(
            catalog=name, products=[item("p1", photos=[photo(1)])]
        )
        written = await channel.call(catalog.BatchUpsertProducts, upsert, timeout_s=60)
        await rig.sync()
        search = search_pb2.SearchRequest(catalog=name, parts=[search_pb2.QueryPart(text="a")])
        stub = search_pb2_grpc.SearchServiceStub(connected)
        assert len((await channel.call(stub.Search, search, timeout_s=60)).hits) == 1
        with pytest.raises(InvalidArgument) as refused:
            await channel.call(stub.Search, search_pb2.SearchRequest(catalog=name), timeout_s=60)
        assert refused.value.field == "parts"
        await channel.call(catalog.ListProducts, catalog_pb2.ListProductsRequest(parent=name), timeout_s=60)
        product = f"{name}/products/p1"
        await channel.call(catalog.GetProduct, catalog_pb2.GetProductRequest(name=product), timeout_s=60)
        await channel.call(
            catalog.DeleteProduct, catalog_pb2.DeleteProductRequest(name=product), timeout_s=60
        )
        feed = catalog_pb2_grpc.FeedServiceStub(connected)
        assert [frame async for frame in channel.stream(feed.Scan, catalog_pb2.ScanRequest())]
        frames = channel.stream(feed.Follow, catalog_pb2.FollowRequest(after_revision=written.revision))
        await anext(frames)
        host.stop()
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable):
                async for _ in frames:
                    pass
            await waiting
