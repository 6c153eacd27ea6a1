from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.server import add_services
from services.mesh import channel
from services.mesh.buckets import bucket_of
from services.mesh.errors import InvalidArgument, OutOfRange, Unavailable
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from tests.gateway.fakes import photo
from tests.gateway.rigs import Rig, item, rigged
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path, shards=1, feed_heartbeat_s=0.1) as made:
        await made.create()
        yield made


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
    changes = [change for frame in await _until(frames, 1) for change in frame.changes]
    await rig.upsert(item("p1", price=3))
    await rig.delete("p1")
    seen = await _until(frames, 3)
    changes += [change for frame in seen for change in frame.changes]
    assert [change.WhichOneof("kind") for change in changes] == ["rows", "attributes", "tombstone"]
    assert [change.revision for change in changes] == [1, 2, 3]
    rows = changes[0].rows
    assert rows.generation == "g1"
    assert {vector.space for vector in rows.photos[0].vectors} == {"resnet50", "clip", "triplet"}
    assert rows.attributes.labels[0].value == "Women"
    assert changes[1].attributes.attributes["price"].values[0].number == 3
    assert seen[-1].head_revision == 3
    assert changes[0].bucket == bucket_of("shop", "p1")


async def test_watermarks_come_without_changes(rig: Rig) -> None:
    """A follower of other buckets learns how far the log is, and hears from the feed when nothing happens."""
    other = (bucket_of("shop", "p1") + 1) % 1024
    frames = rig.gateway.feed.follow(catalog_pb2.FollowRequest(buckets=[other]))
    first = await anext(frames)
    assert (first.revision, first.head_revision) == (0, 0)
    await rig.upsert(item("p1"))
    assert not any(frame.changes for frame in await _until(frames, 1))
    async with asyncio.timeout(2):
        beats = [await anext(frames) for _ in range(2)]
    assert {beat.revision for beat in beats} == {1}


async def test_frames_are_bounded(rig: Rig) -> None:
    """Large entries come in several frames, of which only the last reaches their revision."""
    await rig.upsert(*(item(f"p{i}") for i in range(150)))
    frames = await _until(rig.gateway.feed.follow(catalog_pb2.FollowRequest()), 1)
    assert [len(frame.changes) for frame in frames] == [64, 64, 22]
    assert [frame.revision for frame in frames] == [0, 0, 1]


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
    assert {frame.revision for frame in frames} == {2}
    assert not frames[0].changes
    assert max(len(frame.changes) for frame in frames) <= 64
    changes = [change for frame in frames for change in frame.changes]
    assert len(changes) == 69
    assert all(len(change.rows.photos) == 1 for change in changes)


async def test_a_store_that_is_away_ends_the_feed(rig: Rig) -> None:
    """A follower is told, and comes again."""
    rig.store.is_away = True
    with pytest.raises(Unavailable):
        await anext(rig.gateway.feed.follow(catalog_pb2.FollowRequest()))


async def test_the_services_over_grpc(rig: Rig) -> None:
    """Every service answers on one server, and a drain does not wait for feeds that never end."""
    host = Host(ServiceSettings(port=0, metrics_port=0, drain_s=20, log_level="ERROR"), "gateway")
    add_services(host, rig.gateway)
    port = await host.start()
    waiting = asyncio.create_task(host.wait())
    async with channel.connect(f"127.0.0.1:{port}") as connected:
        catalog = catalog_pb2_grpc.CatalogServiceStub(connected)
        name = "catalogs/shop"
        await channel.call(
            catalog.CreateCatalog, catalog_pb2.CreateCatalogRequest(catalog_id="grpc"), timeout_s=5
        )
        await channel.call(catalog.GetCatalog, catalog_pb2.GetCatalogRequest(name=name), timeout_s=5)
        await channel.call(catalog.ListCatalogs, catalog_pb2.ListCatalogsRequest(), timeout_s=5)
        upsert = catalog_pb2.BatchUpsertProductsRequest(
            catalog=name, products=[item("p1", photos=[photo(1)])]
        )
        written = await channel.call(catalog.BatchUpsertProducts, upsert, timeout_s=5)
        await rig.sync()
        search = search_pb2.SearchRequest(catalog=name, parts=[search_pb2.QueryPart(text="a")])
        stub = search_pb2_grpc.SearchServiceStub(connected)
        assert len((await channel.call(stub.Search, search, timeout_s=5)).hits) == 1
        with pytest.raises(InvalidArgument) as refused:
            await channel.call(stub.Search, search_pb2.SearchRequest(catalog=name), timeout_s=5)
        assert refused.value.field == "parts"
        await channel.call(catalog.ListProducts, catalog_pb2.ListProductsRequest(parent=name), timeout_s=5)
        product = f"{name}/products/p1"
        await channel.call(catalog.GetProduct, catalog_pb2.GetProductRequest(name=product), timeout_s=5)
        await channel.call(catalog.DeleteProduct, catalog_pb2.DeleteProductRequest(name=product), timeout_s=5)
        feed = catalog_pb2_grpc.FeedServiceStub(connected)
        assert [frame async for frame in channel.stream(feed.Scan, catalog_pb2.ScanRequest())]
        frames = channel.stream(feed.Follow, catalog_pb2.FollowRequest(after_revision=written.revision))
        await anext(frames)
        host.stop()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                async for _ in frames:
                    pass
            await waiting
