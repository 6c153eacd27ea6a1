"""What a shard's memory is beside the vectors that it holds."""

from __future__ import annotations

from benchmarks.vectorsearch.collection import DIMENSIONS, Collection
from benchmarks.vectorsearch.setting import Setting
from benchmarks.vectorsearch.shard import Shard


async def empty_rss_bytes(setting: Setting) -> int:
    """Resident memory of a shard without rows."""
    port = await setting.serve(None)
    async with setting.shard("empty", port) as (shard, _):
        return shard.rss_bytes


async def over_live(collection: Collection, shard: Shard, empty_bytes: int) -> dict[str, float | None]:
    """Growth of the resident memory, its peak, and the shard's own count, each over the live vectors.

    The own count is None where the shard does not tell it.
    """
    live_bytes = collection.rows * sum(DIMENSIONS[space] for space in collection.spaces) * 4
    status = await shard.status()
    told_bytes = sum(each.memory_bytes for catalog in status.catalogs for each in catalog.generations)
    return {
        "rss": round((shard.rss_bytes - empty_bytes) / live_bytes, 3),
        "peak_rss": round((shard.peak_rss_bytes - empty_bytes) / live_bytes, 3),
        "told": round(told_bytes / live_bytes, 3) if told_bytes else None,
    }
