from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.mesh.buckets import BUCKETS, bucket_of, buckets_of, shard_of


@given(st.integers(1, 64))
def test_every_bucket_has_exactly_one_shard(shards: int) -> None:
    """The shards' buckets are a partition, and both functions agree on it."""
    owned = [bucket for shard in range(shards) for bucket in buckets_of(shard, shards)]
    assert sorted(owned) == list(range(BUCKETS))
    assert all(
        shard_of(bucket, shards) == shard for shard in range(shards) for bucket in buckets_of(shard, shards)
    )


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_bucket_is_in_range_and_stays(catalog: str, product: str) -> None:
    """A product hashes to one of the fixed buckets, always the same."""
    assert 0 <= bucket_of(catalog, product) < BUCKETS
    assert bucket_of(catalog, product) == bucket_of(catalog, product)


def test_the_hash_never_changes() -> None:
    """Stored data depends on it: these values are for ever."""
    assert [bucket_of("shop", product) for product in ("1", "2", "shoe-7")] == [274, 168, 407]


def test_products_spread_evenly() -> None:
    """No shard of eight gets more than a tenth above or below its share of ids in a row."""
    counts = [0] * 8
    for index in range(20_000):
        counts[shard_of(bucket_of("shop", str(index)), 8)] += 1
    assert all(2250 <= count <= 2750 for count in counts)
