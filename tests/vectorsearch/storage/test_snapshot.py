from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import structlog
import structlog.testing
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.shard import Shard
from services.vectorsearch.storage import snapshot
from services.vectorsearch.storage.disk import Disk
from services.vectorsearch.storage.snapshot import MANIFEST, ROWS, STATE, SnapshotStore
from tests.vectorsearch.products import simple
from tests.vectorsearch.storage.disks import RefusingDisk
from tests.vectorsearch.storage.frames import SEGMENT_ROWS, State, follow, frames, state_of, states

FRAMES = frames(24)
STATES = states(FRAMES)


def filled(count: int) -> Shard:
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for frame in FRAMES[:count]:
        follow(shard, frame)
    return shard


def store_in(directory: Path, *, shards: int = 1, disk: Disk | None = None) -> SnapshotStore:
    return SnapshotStore(directory, shard=0, shards=shards, disk=disk or Disk())


def loaded(directory: Path, *, shards: int = 1) -> tuple[int, State]:
    number, frozen = store_in(directory, shards=shards).load()
    shard = Shard(segment_rows=SEGMENT_ROWS)
    shard.thaw(frozen)
    return number, state_of(shard)


def names(directory: Path, suffix: str) -> list[str]:
    return sorted(path.name for path in directory.glob(f"*{suffix}"))


def rewrite_manifest(path: Path, **changes: object) -> None:
    """Change a manifest such that its checksum is right."""
    text = json.dumps(json.loads(path.read_bytes().partition(b"\n")[2]) | changes).encode()
    path.write_bytes(xxhash.xxh3_128_hexdigest(text).encode() + b"\n" + text)


def test_a_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    """What was saved is loaded, every product of it."""
    shard = filled(24)
    store_in(tmp_path).save(1, shard.freeze())
    assert loaded(tmp_path) == (1, state_of(shard))


def test_nothing_saved_is_an_empty_shard(tmp_path: Path) -> None:
    """A new shard has no snapshot, and no directory."""
    assert loaded(tmp_path / "none") == (0, STATES[0])


def test_an_empty_shard_has_snapshots_too(tmp_path: Path) -> None:
    """A shard whose buckets have no product still reflects a revision."""
    shard = Shard()
    shard.apply([], revision=7)
    store_in(tmp_path).save(1, shard.freeze())
    assert loaded(tmp_path) == (1, {"revision": 7})


def test_a_full_segment_is_written_once(tmp_path: Path) -> None:
    """Later snapshots share the files of full segments, also after a start, and hold what became of them."""
    store = store_in(tmp_path)
    shard = Shard(segment_rows=SEGMENT_ROWS)
    shard.apply([simple(number, 1) for number in range(20)], revision=1)
    store.save(1, shard.freeze())
    first = {path: path.stat() for path in tmp_path.glob(f"*{ROWS}")}
    assert len(first) == 2
    # One row of the first segment dies, and the third one fills up.
    shard.apply([simple(number, 2) for number in (3, *range(20, 23))], revision=2)
    store.save(2, shard.freeze())
    store = store_in(tmp_path)
    _, frozen = store.load()
    shard = Shard(segment_rows=SEGMENT_ROWS)
    shard.thaw(frozen)
    shard.apply([simple(number, 3) for number in (9, 30)], revision=3)
    store.save(3, shard.freeze())
    assert len(names(tmp_path, ROWS)) == 3
    for path, then in first.items():
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (then.st_ino, then.st_mtime_ns)
    assert loaded(tmp_path) == (3, state_of(shard))


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    """Files that neither names are removed, those of segments that were let go among them, and parts too."""
    store = store_in(tmp_path)
    (tmp_path / f"000000000001{MANIFEST}.part").write_bytes(b"torn")
    (tmp_path / "000000000001-7.rows").write_bytes(b"of nobody")
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for number in range(2, 9):
        # All is written anew, so that all former segments go.
        shard.apply([simple(each, number) for each in range(20)], revision=number)
        store.save(number, shard.freeze())
    assert names(tmp_path, MANIFEST) == [f"{number:012d}{MANIFEST}" for number in (7, 8)]
    assert names(tmp_path, STATE) == [f"{number:012d}{STATE}" for number in (7, 8)]
    named = {
        file["name"]
        for path in tmp_path.glob(f"*{MANIFEST}")
        for catalog in json.loads(path.read_bytes().partition(b"\n")[2])["catalogs"]
        for segment in catalog["segments"]
        if (file := segment["file"])
    }
    assert set(names(tmp_path, ROWS)) == named
    assert (tmp_path / "notes.txt").exists()


def test_the_snapshot_of_another_sharding_is_not_used(tmp_path: Path) -> None:
    """With another number of shards the buckets differ, and so do the products."""
    store_in(tmp_path).save(1, filled(3).freeze())
    assert loaded(tmp_path, shards=2) == (0, STATES[0])


def test_an_older_format_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in the log, and the one before it is used."""
    # A logger that was used before keeps to where it wrote then.
    monkeypatch.setattr(snapshot, "_log", structlog.get_logger())
    store = store_in(tmp_path)
    store.save(1, filled(3).freeze())
    store.save(2, filled(4).freeze())
    rewrite_manifest(tmp_path / f"000000000002{MANIFEST}", format=1)
    with structlog.testing.capture_logs() as logs:
        number, _ = loaded(tmp_path)
    assert number == 1
    assert [line["problem"] for line in logs if line["event"] == "snapshot passed over"] == [
        "format 1 instead of 2"
    ]


def test_a_full_disk_leaves_the_former_snapshot_and_nothing_else(tmp_path: Path) -> None:
    """At whatever step the disk refuses, nothing of the snapshot is left, and the next one succeeds."""
    step = 0
    while True:
        directory = tmp_path / f"{step}"
        disk = RefusingDisk(1_000_000, 1)
        store = store_in(directory, disk=disk)
        store.save(1, filled(6).freeze())
        before = sorted(directory.iterdir())
        first = next(disk.steps) + 1 + step
        disk.refused = range(first, first + 1)
        shard = filled(12)
        try:
            store.save(2, shard.freeze())
        except OSError:
            assert sorted(directory.iterdir()) == before
            assert loaded(directory) == (1, state_of(filled(6)))
            store.save(3, shard.freeze())
        else:
            break
        assert loaded(directory) == (3, state_of(shard))
        step += 1
    assert step > 10


@pytest.fixture(scope="module")
def two_snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two without a file in common."""
    directory = tmp_path_factory.mktemp("snapshots")
    store = store_in(directory)
    store.save(1, filled(8).freeze())
    store.save(2, filled(24).freeze())
    return directory


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_torn_snapshot_gives_way_to_the_one_before(data: st.DataObject, two_snapshots: Path) -> None:
    """Any file cut short, missing, or with any bit turned over is noticed, and the last whole one is used."""
    victim = data.draw(st.sampled_from(sorted(two_snapshots.glob("000000000002*"))), label="file")
    whole = victim.read_bytes()
    content = bytearray(whole)
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    victim.unlink()
    match data.draw(st.sampled_from(["cut", "flip", "lose"]), label="damage"):
        case "cut":
            victim.write_bytes(content[:place])
        case "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            victim.write_bytes(content)
        case _:
            pass
    try:
        number, state = loaded(two_snapshots)
    finally:
        victim.write_bytes(whole)
    assert (number, state) == (1, state_of(filled(8)))


def test_when_both_are_torn_the_shard_is_empty(two_snapshots: Path, tmp_path: Path) -> None:
    """Nothing is better than something wrong: the feed has it all."""
    directory = tmp_path / "copy"
    shutil.copytree(two_snapshots, directory)
    for path in directory.glob(f"*{STATE}"):
        path.write_bytes(path.read_bytes()[:-1])
    assert loaded(directory) == (0, STATES[0])


def test_forgotten_is_forgotten(tmp_path: Path) -> None:
    """Nothing can be loaded any more, and what is saved next shares nothing with what was."""
    store = store_in(tmp_path)
    shard = filled(12)
    store.save(1, shard.freeze())
    store.forget()
    assert loaded(tmp_path) == (0, STATES[0])
    store.save(2, shard.freeze())
    assert {path.name[:12] for path in tmp_path.iterdir()} == {"000000000002"}
    assert loaded(tmp_path) == (2, state_of(shard))
