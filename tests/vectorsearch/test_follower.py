from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.mesh import channel, deadline
from services.mesh.errors import Unavailable
from services.vectorsearch import follower as follower_module
from services.vectorsearch.columns import Facts
from services.vectorsearch.follower import Follower
from services.vectorsearch.indexes.indexing import Indexing
from services.vectorsearch.indexes.kinds import Kinds
from services.vectorsearch.shard import Shard
from services.vectorsearch.storage.durability import Durability
from tests.patience import until
from tests.ports import reserved
from tests.vectorsearch.feeds import Feed, serving
from tests.vectorsearch.products import (
    change_message,
    deletion_message,
    facts_message,
    generations_message,
    simple,
)
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc


@asynccontextmanager
async def following(shard: Shard, port: int) -> AsyncIterator[Follower]:
    def nothing() -> None:
        pass

    indexing = Indexing(shard, Kinds.parse("auto"))
    with ThreadPoolExecutor(1) as writer, tempfile.TemporaryDirectory() as directory:
        durability = Durability(
            shard,
            Path(directory),
            number=0,
            shards=1,
            writer=writer,
            snapshot_interval_s=60,
            journal_sync_interval_s=60,
            journal_max_bytes=1 << 20,
        )
        async with channel.connect(f"127.0.0.1:{port}") as connection:
            follower = Follower(
                shard,
                catalog_pb2_grpc.FeedServiceStub(connection),
                writer=writer,
                durability=durability,
                indexing=indexing,
                buckets=[1, 3],
                backoff_max_s=0.2,
                on_caught_up=nothing,
            )
            task = asyncio.create_task(follower.run())
            try:
                yield follower
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                indexing.stop()
                await durability.close()


async def reached(follower: Follower, revision: int) -> None:
    with deadline.within(60):
        await follower.reach(revision)


def held(shard: Shard) -> dict[str, int]:
    rows = shard.rows("shop", "g1")
    return {product_id: product.revision for product_id, product in rows.products.items()} if rows else {}


async def test_follows_from_the_start_and_on() -> None:
    """What is in the log is applied, then what comes; a watermark alone moves the revision."""
    feed, shard = Feed(), Shard()
    await feed.add(*(change_message(simple(n, n)) for n in range(1, 8)))
    async with serving(feed) as port, following(shard, port) as follower:
        await reached(follower, 7)
        assert len(held(shard)) == 7
        await feed.add(deletion_message("p3", 8))
        await reached(follower, 8)
        assert "p3" not in held(shard)
        feed.head = 20
        await feed.add()
        await reached(follower, 20)
        assert follower.caught_up
        assert follower.following
    assert feed.follows == [(0, [1, 3])]


async def test_attributes_alone_change_without_vectors() -> None:
    """A change of attributes carries none, and the photos stay."""
    feed, shard = Feed(), Shard()
    facts = facts_message(Facts({"colour": ["blue"]}, {"gender": ("Men", 0.5)}))
    change = catalog_pb2.Change(revision=2, catalog="shop", product_id="p1", attributes=facts)
    await feed.add(change_message(simple(1, 1, colour=["red"])), change)
    async with serving(feed) as port, following(shard, port) as follower:
        await reached(follower, 2)
    rows = shard.rows("shop", "g1")
    assert rows is not None
    assert rows.row_count == 1
    assert rows.columns.labels("colour", np.array([1])).values == ["blue"]
    assert rows.columns.labels("gender", np.array([1])).values == ["Men"]


async def test_goes_on_where_it_was_when_the_stream_is_cut() -> None:
    """Each time the stream is cut, it follows from the revision it has."""
    feed, shard = Feed(), Shard()
    feed.frames_a_stream = 1
    await feed.add(*(change_message(simple(n % 5, n)) for n in range(1, 13)))
    async with serving(feed) as port, following(shard, port) as follower:
        await reached(follower, 12)
    assert [after for after, _ in feed.follows][:4] == [0, 3, 6, 9]
    assert held(shard) == {"p0": 10, "p1": 11, "p2": 12, "p3": 8, "p4": 9}


async def test_waits_for_a_feed_that_is_away() -> None:
    """A feed that comes later, or again, is found; what is held stays meanwhile."""
    feed, shard = Feed(), Shard()
    await feed.add(change_message(simple(1, 1)))
    with reserved() as port:
        async with following(shard, port) as follower:
            await asyncio.sleep(0.3)
            assert not follower.following
            async with serving(feed, port):
                await reached(follower, 1)
            await until(lambda: not follower.following)
            assert held(shard) == {"p1": 1}
            await feed.add(change_message(simple(2, 2)))
            async with serving(feed, port):
                await reached(follower, 2)
    assert held(shard) == {"p1": 1, "p2": 2}


async def test_scans_when_the_log_does_not_reach_back() -> None:
    """Products deleted in the part of the log that is gone vanish, the others are as the scan has them."""
    feed, shard = Feed(), Shard()
    shard.apply([simple(1, 1), simple(2, 2)], revision=2)
    await feed.add(change_message(simple(1, 5)), change_message(simple(3, 6)), change_message(simple(4, 7)))
    feed.forget(6)
    async with serving(feed) as port, following(shard, port) as follower:
        await reached(follower, 7)
        assert held(shard) == {"p1": 5, "p3": 6, "p4": 7}
        await feed.add(change_message(simple(5, 8)))
        await reached(follower, 8)
    assert feed.scans == 1


async def test_a_store_set_up_anew_replaces_everything() -> None:
    """When the log is younger than the shard, nothing that is held counts."""
    feed, shard = Feed(), Shard()
    shard.apply([simple(1, 500), simple(2, 501)], revision=501)
    await feed.add(change_message(simple(1, 1)))
    async with serving(feed) as port, following(shard, port) as follower:
        await until(lambda: shard.revision == 1)
        assert held(shard) == {"p1": 1}
        await feed.add(change_message(simple(3, 2)))
        await reached(follower, 2)
    assert held(shard) == {"p1": 1, "p3": 2}


async def test_a_change_that_makes_no_sense_holds_nothing_up() -> None:
    """A change that cannot be understood or compared is passed over."""
    feed, shard = Feed(), Shard()
    broken = change_message(simple(2, 2))
    broken.rows.photos[0].vectors[0].data = b"abc"
    other = change_message(simple(3, 3))
    for vector in other.rows.photos[0].vectors:
        vector.model_digest = "another"
    empty = catalog_pb2.Change(revision=4, catalog="shop", product_id="p4")
    await feed.add(change_message(simple(1, 1)), broken, other, empty, change_message(simple(5, 5)))
    async with serving(feed) as port, following(shard, port) as follower:
        await reached(follower, 5)
    assert held(shard) == {"p1": 1, "p5": 5}


async def test_a_revision_that_does_not_come_is_told_before_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for a revision hears in time that it was not reached."""
    # Nearly all of the time is kept for the answer.
    monkeypatch.setattr(follower_module, "_ANSWER_S", 59.9)
    feed, shard = Feed(), Shard()
    async with serving(feed) as port, following(shard, port) as follower:
        with deadline.within(60), pytest.raises(Unavailable, match="not yet at 9") as caught:
            await follower.reach(9)
    assert caught.value.reason == "REVISION_NOT_REACHED"


async def test_generations_that_go_are_dropped() -> None:
    """A catalogue keeps the generations that the feed names, in the log and in a scan alike."""
    feed, shard = Feed(), Shard()
    old = simple(1, 1)
    await feed.add(
        change_message(old),
        change_message(replace(old, revision=2, generation="g2")),
        generations_message("shop", 3, "g2"),
    )
    feed.products["p1"].rows.generation = "g2"
    async with serving(feed) as port:
        async with following(shard, port) as follower:
            await reached(follower, 3)
            assert [(size.catalog, size.generation) for size in shard.sizes()] == [("shop", "g2")]
        # What it missed has been forgotten, so that it has to scan.
        await feed.add(
            change_message(replace(old, revision=4, generation="g3")),
            generations_message("shop", 5, "g3"),
        )
        feed.forget(5)
        async with following(shard, port) as follower:
            await reached(follower, 5)
            assert feed.scans == 1
            assert [(size.catalog, size.generation) for size in shard.sizes()] == [("shop", "g3")]
        await feed.add(generations_message("shop", 6))
        async with following(shard, port) as follower:
            await reached(follower, 6)
            assert shard.sizes() == []
