from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.search import search
from services.vectorsearch.shard import Shard
from services.vectorsearch.snapshot import SnapshotStore
from tests.vectorsearch.products import query, simple


def filled(revision: int) -> Shard:
    shard = Shard(segment_rows=16)
    shard.apply(
        [simple(number, 1, colour=["red"], price=[float(number)]) for number in range(40)], revision=revision
    )
    return shard


def answer(shard: Shard) -> list[str]:
    rows = shard.rows("shop", "g1")
    assert rows is not None
    return search(rows, [query("clip", 5), query("resnet50", 2)], rows.searchable, 40).product_ids


def test_a_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    """What was saved is loaded: revision, products, order of hits; and it can be written to."""
    shard = filled(7)
    store = SnapshotStore(tmp_path, shard=0, shards=1)
    store.save(shard.freeze())
    frozen = store.load()
    assert frozen is not None
    loaded = Shard.thaw(frozen)
    assert loaded.revision == 7
    assert answer(loaded) == answer(shard)
    loaded.apply([simple(99, 8)], revision=8)
    assert "p99" in answer(loaded)


def test_later_changes_do_not_touch_what_was_frozen(tmp_path: Path) -> None:
    """A snapshot is of the moment it was frozen in, whatever is written until it is on disk."""
    shard = filled(7)
    before = answer(shard)
    frozen = shard.freeze()
    shard.apply([simple(number, 9, colour=["blue"]) for number in range(60)], revision=9)
    store = SnapshotStore(tmp_path, shard=0, shards=1)
    store.save(frozen)
    loaded = store.load()
    assert loaded is not None
    assert answer(Shard.thaw(loaded)) == before


def test_keeps_the_two_newest(tmp_path: Path) -> None:
    """Older snapshots and torn ones are removed."""
    store = SnapshotStore(tmp_path, shard=0, shards=1)
    (tmp_path / "snapshot-000000000001").mkdir()
    for revision in (1, 2, 3):
        store.save(filled(revision).freeze())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "snapshot-000000000003",
        "snapshot-000000000004",
    ]


def test_the_snapshot_of_another_sharding_is_not_used(tmp_path: Path) -> None:
    """With another number of shards the buckets differ, and so do the products."""
    SnapshotStore(tmp_path, shard=0, shards=1).save(filled(1).freeze())
    assert SnapshotStore(tmp_path, shard=0, shards=2).load() is None


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    """A new shard has no snapshot."""
    assert SnapshotStore(tmp_path / "none", shard=0, shards=1).load() is None


@pytest.fixture(scope="module")
def two_snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("snapshots")
    store = SnapshotStore(directory, shard=0, shards=1)
    store.save(filled(1).freeze())
    store.save(filled(2).freeze())
    return directory


@settings(max_examples=40)
@given(data=st.data())
def test_a_torn_snapshot_gives_way_to_the_one_before(data: st.DataObject, two_snapshots: Path) -> None:
    """Any file cut short, missing, or with any bit turned over is noticed, and the last whole one is used."""
    store = SnapshotStore(two_snapshots, shard=0, shards=1)
    files = sorted(path for path in max(two_snapshots.iterdir()).iterdir() if path.stat().st_size)
    victim = data.draw(st.sampled_from(files), label="file")
    whole = victim.read_bytes()
    content = bytearray(whole)
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    match data.draw(st.sampled_from(["cut", "flip", "lose"]), label="damage"):
        case "cut":
            victim.write_bytes(content[:place])
        case "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            victim.write_bytes(content)
        case _:
            victim.unlink()
    frozen = store.load()
    victim.write_bytes(whole)
    assert frozen is not None
    assert frozen.revision == 1
    assert len(answer(Shard.thaw(frozen))) == 40
