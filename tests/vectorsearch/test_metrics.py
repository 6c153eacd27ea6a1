from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prometheus_client import REGISTRY

from services.vectorsearch import metrics
from services.vectorsearch.changes import Deleted
from services.vectorsearch.shard import Shard
from tests.patience import until
from tests.ports import reserved
from tests.vectorsearch.feeds import Feed, serving
from tests.vectorsearch.products import change_message, simple
from tests.vectorsearch.storage.frames import frames
from tests.vectorsearch.storage.lives import life
from tests.vectorsearch.test_follower import following, reached


def test_dead_rows_are_told_until_they_are_compacted() -> None:
    """A segment that was emptied counts once, and takes its dead rows with it."""
    emptied: list[None] = []
    shard = Shard(segment_rows=16, on_compacted=lambda: emptied.append(None))
    shard.apply([simple(number, 1) for number in range(60)])
    shard.apply([Deleted("shop", f"p{number}", 2) for number in (3, 20, 40)])
    metrics.state(shard.sizes(), revision=2, feed_revision=2)
    assert REGISTRY.get_sample_value("vitrine_vectorsearch_dead_rows") == 3
    assert not emptied
    assert shard.compact().segments == 3
    metrics.state(shard.sizes(), revision=2, feed_revision=2)
    assert REGISTRY.get_sample_value("vitrine_vectorsearch_dead_rows") == 0
    assert len(emptied) == 3


async def test_the_lag_grows_while_the_feed_is_away() -> None:
    """It is none at the head of the feed, and counts from when the shard was last seen there."""
    feed, shard = Feed(), Shard()
    await feed.add(change_message(simple(1, 1)))
    with reserved() as port:
        async with following(shard, port) as follower:
            first_s = follower.lag_s
            await until(lambda: follower.lag_s > first_s + 0.1)
            async with serving(feed, port):
                await reached(follower, 1)
                await until(lambda: follower.lag_s == 0.0)
            await until(lambda: follower.lag_s > 0.1)


async def test_a_snapshot_is_as_old_as_what_it_lacks(tmp_path: Path) -> None:
    """Taking one makes it young, and so does finding that nothing changed since."""
    async with life(tmp_path) as one:
        await one.follow(*frames(3))
        for _ in range(2):
            await asyncio.sleep(0.02)
            before_s = time.monotonic()
            await one.durability.take()
            assert one.durability.snapshot_age_s <= time.monotonic() - before_s
        await until(lambda: one.durability.snapshot_age_s > 0.05)
