"""Products hash to a fixed number of buckets, and shards own buckets.

The number of buckets never changes, so a new number of shards moves
whole buckets and no product is hashed anew.
"""

from __future__ import annotations

import zlib

BUCKETS = 1024


def bucket_of(catalog: str, product_id: str) -> int:
    """The bucket of a product, 0 to 1,023."""
    return zlib.crc32(f"{catalog}/{product_id}".encode()) % BUCKETS


def shard_of(bucket: int, shards: int) -> int:
    """Which of `shards` shards owns a bucket."""
    return bucket % shards


def buckets_of(shard: int, shards: int) -> list[int]:
    """The buckets that one of `shards` shards owns."""
    return list(range(shard, BUCKETS, shards))
