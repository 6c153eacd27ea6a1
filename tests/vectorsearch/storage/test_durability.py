from __future__ import annotations

import asyncio
import shutil
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import structlog
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mesh.errors import FailedPrecondition, Unavailable
from services.vectorsearch import metrics
from services.vectorsearch.shard import Shard
from services.vectorsearch.storage import durability
from services.vectorsearch.storage.snapshot import MANIFEST, ROWS
from tests.patience import until
from tests.vectorsearch.products import change_message, simple
from tests.vectorsearch.storage.disks import Event, RefusingDisk, RememberingDisk, SteppedDisk, lose_power
from tests.vectorsearch.storage.frames import SEGMENT_ROWS, State, follow, frames, state_of, states
from tests.vectorsearch.storage.lives import Life, life
from vitrine.v1 import catalog_pb2

FRAMES = frames(30)
STATES = states(FRAMES)
FINAL = STATES[FRAMES[-1].revision]


def after(count: int) -> State:
    return STATES[FRAMES[count - 1].revision if count else 0]


async def found(directory: Path, *, shards: int = 1) -> State:
    one = Life(directory, shards=shards)
    state = state_of(one.shard)
    await one.die()
    return state


def files_in(directory: Path, suffix: str = "") -> list[Path]:
    return sorted(directory.glob(f"*{suffix}"))


def written(revision: int, *numbers: int) -> catalog_pb2.FollowResponse:
    return catalog_pb2.FollowResponse(
        changes=[change_message(simple(number, revision)) for number in numbers], revision=revision
    )


async def test_the_journal_alone_brings_everything_back(tmp_path: Path) -> None:
    """What was applied before there is any snapshot is there after a death, and is followed on from."""
    async with life(tmp_path) as one:
        assert not one.loaded
        await one.follow(*FRAMES[:10])
        assert (one.durability.snapshot_revision, one.durability.journal_revision) == (
            0,
            FRAMES[9].revision,
        )
    async with life(tmp_path) as one:
        assert one.loaded
        assert state_of(one.shard) == after(10)
        await one.follow(*FRAMES[10:])
    assert await found(tmp_path) == FINAL


async def test_a_snapshot_and_the_journal_since_bring_everything_back(tmp_path: Path) -> None:
    """Snapshots begin a journal each; what was applied after the last one is in its journal."""
    async with life(tmp_path) as one:
        for start in range(0, 24, 8):
            await one.follow(*FRAMES[start : start + 8])
            assert await one.durability.take() == one.shard.revision
        await one.follow(*FRAMES[24:])
        assert one.durability.snapshot_revision == FRAMES[23].revision
        assert one.durability.journal_revision == FINAL["revision"]
    assert await found(tmp_path) == FINAL


async def test_a_drain_leaves_a_snapshot(tmp_path: Path) -> None:
    """A start after an orderly end replays nothing."""
    async with life(tmp_path, dies=False) as one:
        await one.follow(*FRAMES)
    async with life(tmp_path) as one:
        assert one.durability.snapshot_revision == FINAL["revision"]
        assert state_of(one.shard) == FINAL


async def test_nothing_new_is_no_new_snapshot(tmp_path: Path) -> None:
    """A snapshot that is asked for when nothing changed is the one there is."""
    async with life(tmp_path) as one:
        assert await one.durability.take() == 0
        await one.follow(*FRAMES[:3])
        await one.durability.take()
        before = files_in(tmp_path)
        assert await one.durability.take() == FRAMES[2].revision
        # A frame that says nothing new is not journaled either.
        await one.follow(catalog_pb2.FollowResponse(revision=FRAMES[2].revision))
        assert await one.durability.take() == FRAMES[2].revision
        assert files_in(tmp_path) == before


async def test_snapshots_while_changes_go_on(tmp_path: Path) -> None:
    """Whatever is applied between the freezing and the end of a snapshot is in the new journal."""
    async with life(tmp_path) as one:
        tasks = []
        for frame in FRAMES:
            tasks.append(asyncio.create_task(one.durability.take()))
            await one.follow(frame)
        await asyncio.gather(*tasks)
        assert one.durability.snapshot_revision > 0
    assert await found(tmp_path) == FINAL


class WaitingDisk(SteppedDisk):
    """Syncs nothing until it may."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may = threading.Event()

    def step(self, what: str) -> None:
        if what == "sync":
            self.asked.set()
            self.may.wait()


async def test_a_caller_who_leaves_leaves_no_snapshot_half_taken(tmp_path: Path) -> None:
    """A snapshot that was begun is finished, and whoever asks next is told of it."""
    disk = WaitingDisk()
    async with life(tmp_path, disk=disk) as one:
        await one.follow(*FRAMES[:9])
        asking = asyncio.create_task(one.durability.take())
        await until(disk.asked.is_set)
        asking.cancel()
        await asyncio.wait([asking])
        disk.may.set()
        assert asking.cancelled()
        assert await one.durability.take() == FRAMES[8].revision
        await one.follow(*FRAMES[9:])
    assert await found(tmp_path) == FINAL


async def test_snapshots_are_taken_and_the_journal_synced_in_time(tmp_path: Path) -> None:
    """At every interval, and at once when the journal is long."""
    disk = RememberingDisk()
    one = Life(tmp_path, disk=disk, snapshot_interval_s=0.05, journal_sync_interval_s=0.01)
    running = asyncio.create_task(one.durability.run())
    await one.follow(*FRAMES[:10])
    await until(lambda: one.durability.snapshot_revision == FRAMES[9].revision)
    await until(lambda: any(event.what == "sync" and "journal" in event.name for event in disk.events))
    running.cancel()
    await asyncio.wait([running])
    await one.die()
    one = Life(tmp_path, journal_max_bytes=2000)
    running = asyncio.create_task(one.durability.run())
    await asyncio.sleep(0)
    await one.follow(*FRAMES[10:])
    await until(lambda: one.durability.snapshot_revision > FRAMES[9].revision)
    running.cancel()
    await asyncio.wait([running])
    await one.die()


async def test_a_journal_has_a_bound(tmp_path: Path) -> None:
    """When no snapshot comes, it is stopped at twice its size, and the next snapshot starts it again."""
    failures = metrics.JOURNAL_FAILURES._value.get()
    one = Life(tmp_path, journal_max_bytes=2000)
    await one.follow(*FRAMES[:20])
    assert metrics.JOURNAL_FAILURES._value.get() == failures + 1
    assert sum(path.stat().st_size for path in files_in(tmp_path)) < 8000
    reached = one.durability.journal_revision
    assert 0 < reached < FRAMES[19].revision
    copy = tmp_path.with_name(f"{tmp_path.name}-copy")
    shutil.copytree(tmp_path, copy)
    assert await found(copy) == STATES[reached]
    await one.durability.take()
    assert metrics.JOURNAL_BYTES._value.get() < 200
    await one.follow(FRAMES[20])
    assert one.durability.journal_revision == FRAMES[20].revision
    await one.die()
    assert await found(tmp_path) == after(21)


async def test_a_scan_leaves_what_was_there_until_it_has_ended(tmp_path: Path) -> None:
    """A death in the middle of a scan loses the scan and nothing else; at its end a snapshot is due."""
    async with life(tmp_path) as one:
        await one.follow(*FRAMES[:10])
        await one.durability.begin_scan(anew=False)
        await one.write(partial(one.shard.apply, [simple(99, 400)]))
        with pytest.raises(Unavailable) as raised:
            await one.durability.take()
        assert raised.value.reason == "SNAPSHOT_FAILED"
    async with life(tmp_path) as one:
        assert state_of(one.shard) == after(10)
        await one.scan([written(500, 1, 2, 3)], revision=500, anew=False)
        assert one.durability._due.is_set()
        assert await one.durability.take() == 500
        await one.follow(written(501, 4))
        held = state_of(one.shard)
    assert sorted(held["shop/g1"]["products"]) == ["p1", "p2", "p3", "p4"]
    assert await found(tmp_path) == held


async def test_nothing_of_a_log_that_was_replaced_is_loaded_again(tmp_path: Path) -> None:
    """From the beginning of a scan of another log, only what that log has counts."""
    async with life(tmp_path) as one:
        await one.follow(*FRAMES[:10])
        await one.durability.take()
        await one.follow(*FRAMES[10:])
        await one.durability.begin_scan(anew=True)
    async with life(tmp_path) as one:
        assert not one.loaded
        assert state_of(one.shard) == STATES[0]
        await one.follow(*FRAMES)
        await one.durability.take()
        await one.scan([written(2, 1, 2)], revision=3, anew=True)
        assert await one.durability.take() == 3
        await one.follow(written(4, 3))
        held = state_of(one.shard)
        assert (one.durability.snapshot_revision, one.durability.journal_revision) == (3, 4)
    assert sorted(held["shop/g1"]["products"]) == ["p1", "p2", "p3"]
    assert await found(tmp_path) == held


async def test_a_journal_bridges_a_torn_snapshot(tmp_path: Path) -> None:
    """The snapshot before, its journal and the one since bring everything back, and life goes on."""
    async with life(tmp_path) as one:
        for start in range(0, 24, 8):
            await one.follow(*FRAMES[start : start + 8])
            await one.durability.take()
        await one.follow(*FRAMES[24:28])
    newest = max(files_in(tmp_path, MANIFEST))
    newest.write_bytes(newest.read_bytes()[:-1])
    async with life(tmp_path) as one:
        assert one.durability.snapshot_revision == FRAMES[15].revision
        assert state_of(one.shard) == after(28)
        await one.follow(FRAMES[28])
    async with life(tmp_path, dies=False) as one:
        assert state_of(one.shard) == after(29)
        await one.follow(FRAMES[29])
    assert await found(tmp_path) == FINAL
    assert newest not in files_in(tmp_path)


async def test_what_is_loaded_is_used_where_it_is_mapped(tmp_path: Path) -> None:
    """Full segments are not copied, and nothing that happens afterwards changes their files."""
    async with life(tmp_path) as one:
        await one.follow(*(written(number + 1, number) for number in range(2 * SEGMENT_ROWS + 1)))
        await one.durability.take()
    files = {path: path.read_bytes() for path in files_in(tmp_path, ROWS)}
    assert len(files) == 2
    async with life(tmp_path) as one:
        rows = one.shard.rows("shop", "g1")
        assert rows is not None
        for segment in rows.segments:
            for matrix in segment.matrices.values():
                assert matrix.flags.owndata != segment.full
                assert matrix.flags.writeable != segment.full
        await one.follow(*(written(50 + number, number) for number in range(0, 30, 5)))
        for path, content in files.items():
            assert path.read_bytes() == content


async def test_the_files_of_another_sharding_are_not_used(tmp_path: Path) -> None:
    """Neither snapshots nor journals, since the products are others."""
    async with life(tmp_path) as one:
        await one.follow(*FRAMES[:5])
    other = tmp_path.with_name(f"{tmp_path.name}-other")
    shutil.copytree(tmp_path, other)
    async with life(other) as one:
        await one.durability.take()
        await one.follow(*FRAMES[5:])
    assert await found(tmp_path, shards=2) == STATES[0]
    assert await found(other, shards=2) == STATES[0]


async def test_a_full_disk_stops_the_journal_until_a_snapshot_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once and counted; changes go on, what was on disk stays, and afterwards all is kept again."""
    # A logger that was used before keeps to where it wrote then.
    monkeypatch.setattr(durability, "_log", structlog.get_logger())
    disk = RefusingDisk(8, 200)
    failures = metrics.JOURNAL_FAILURES._value.get()
    async with life(tmp_path, disk=disk) as one:
        with structlog.testing.capture_logs() as logs:
            await one.follow(*FRAMES[:10])
            for _ in range(3):
                with pytest.raises(Unavailable) as raised:
                    await one.durability.take()
                assert raised.value.reason == "SNAPSHOT_FAILED"
            assert state_of(one.shard) == after(10)
        assert len([line for line in logs if line["event"].startswith("journal stopped")]) == 1
        assert metrics.JOURNAL_FAILURES._value.get() > failures
        reached = one.durability.journal_revision
        copy = tmp_path.with_name(f"{tmp_path.name}-copy")
        shutil.copytree(tmp_path, copy)
        disk.refused = range(0)
        assert await one.durability.take() == FRAMES[9].revision
        await one.follow(*FRAMES[10:])
        assert one.durability.journal_revision == FINAL["revision"]
    assert 0 < reached < FRAMES[9].revision
    assert await found(copy) == STATES[reached]
    assert await found(tmp_path) == FINAL


@pytest.mark.parametrize("step", range(3, 15))
async def test_what_comes_after_a_gap_is_not_loaded(tmp_path: Path, step: int) -> None:
    """One record that was refused ends the journal, though the disk would take those after it."""
    async with life(tmp_path, disk=RefusingDisk(step, 1)) as one:
        await one.follow(*FRAMES[:10])
        reached = one.durability.journal_revision
    assert reached == FRAMES[(step - 3) // 2 - 1].revision if step > 4 else reached == 0
    assert await found(tmp_path) == STATES[reached]


async def test_a_journal_that_began_with_no_snapshot_is_not_taken_for_one_kept(tmp_path: Path) -> None:
    """After a gap and snapshots that failed, nothing more is said to be kept than a start would find."""
    disk = RefusingDisk(7, 1)
    async with life(tmp_path, disk=disk) as one:
        await one.follow(*FRAMES[:5])
        for start in range(5, 14, 3):
            # The journal that a snapshot begins with is made, and then the disk refuses.
            first = next(disk.steps) + 4
            disk.refused = range(first, first + 1)
            with pytest.raises(Unavailable):
                await one.durability.take()
            await one.follow(*FRAMES[start : start + 3])
        reached = one.durability.journal_revision
    assert reached == FRAMES[1].revision
    assert await found(tmp_path) == STATES[reached]


async def test_a_journal_of_a_snapshot_that_never_came_is_not_taken_for_one_kept(tmp_path: Path) -> None:
    """Where nothing leads up to a journal, what is between must not be passed over in silence."""
    async with life(tmp_path) as shard:
        await shard.follow(*FRAMES[:3])
        await shard.durability.take()
        await shard.scan(FRAMES[3:5], revision=1, anew=True)
        # As far as a death in the middle of the snapshot that follows the scan gets.
        await shard.write(shard.durability._freeze)
        await shard.follow(*FRAMES[5:7])
    async with life(tmp_path) as shard:
        assert state_of(shard.shard) == STATES[0]


async def test_a_directory_has_one_shard_at_a_time(tmp_path: Path) -> None:
    """A second process would remove what the first has written, so it is told and does not start."""
    async with life(tmp_path):
        with pytest.raises(FailedPrecondition) as refused:
            Life(tmp_path)
        assert refused.value.reason == "DIRECTORY_IN_USE"
    async with life(tmp_path) as shard:
        assert not shard.loaded


async def test_a_disk_may_be_full_at_any_step(tmp_path: Path) -> None:
    """Whichever steps it refuses, a death loses nothing that was kept, and following on mends all."""
    step = 0
    disk = RefusingDisk(0, 0)
    while next(disk.steps) >= step:
        directory = tmp_path / f"{step}"
        disk = RefusingDisk(step, 1 + 7 * (step % 2))
        async with life(directory, disk=disk) as one:
            for start in range(0, 16, 4):
                await one.follow(*FRAMES[start : start + 4])
                with suppress(Unavailable):
                    await one.durability.take()
                await one.durability._sync()
            kept = one.durability.journal_revision
            assert state_of(one.shard) == after(16)
        async with life(directory) as one:
            assert one.shard.revision >= kept
            assert state_of(one.shard) == STATES[one.shard.revision]
            await one.follow(*(frame for frame in FRAMES[:16] if frame.revision > one.shard.revision))
            assert state_of(one.shard) == after(16)
            await one.durability.take()
        assert await found(directory) == after(16)
        shutil.rmtree(directory)
        step += 3
    assert step > 30


@pytest.mark.parametrize("place", ["file", "file/directory"])
async def test_a_directory_that_cannot_be_used_keeps_no_shard_away(tmp_path: Path, place: str) -> None:
    """The feed is followed all the same, and all is kept from the first snapshot on that can be written."""
    (tmp_path / "file").write_bytes(b"")
    async with life(tmp_path / place) as one:
        assert not one.loaded
        await one.follow(*FRAMES[:10])
        with pytest.raises(Unavailable):
            await one.durability.take()
        (tmp_path / "file").unlink()
        assert await one.durability.take() == FRAMES[9].revision
        await one.follow(*FRAMES[10:])
        assert state_of(one.shard) == FINAL
    assert await found(tmp_path / place) == FINAL


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two snapshots and what came before, between and after."""
    directory = tmp_path_factory.mktemp("kept")

    async def live() -> None:
        async with life(directory) as one:
            for end in (8, 16):
                await one.follow(*FRAMES[end - 8 : end])
                await one.durability.take()
            await one.follow(*FRAMES[16:24])

    asyncio.run(live())
    return directory


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damage_costs_time_and_never_data(
    data: st.DataObject, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whichever files are damaged, what is loaded is a state that there was, and the feed brings the rest."""
    directory = tmp_path_factory.mktemp("damaged") / "copy"
    shutil.copytree(kept, directory)
    paths = [path for path in files_in(directory) if path.name != "lock"]
    for victim in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True)):
        content = bytearray(victim.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1), label="place")
        match data.draw(st.sampled_from(["cut", "flip", "lose"]), label="damage"):
            case "cut":
                victim.write_bytes(content[:place])
            case "flip":
                content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
                victim.write_bytes(content)
            case _:
                victim.unlink()

    async def live() -> None:
        async with life(directory) as one:
            assert state_of(one.shard) == STATES[one.shard.revision]
            await one.follow(*(frame for frame in FRAMES if frame.revision > one.shard.revision))
            assert state_of(one.shard) == FINAL
        assert await found(directory) == FINAL

    asyncio.run(live())
    shutil.rmtree(directory)


@pytest.mark.parametrize("names_survive", [True, False])
async def test_a_loss_of_power_costs_what_was_not_synced(tmp_path: Path, names_survive: bool) -> None:
    """After a loss of power at any moment, everything is there that had been synced then, or more."""
    disk = RememberingDisk()
    async with life(tmp_path / "life", disk=disk) as one:
        for start in range(0, 16, 4):
            for frame in FRAMES[start : start + 4]:
                await one.follow(frame)
                reached = one.shard.revision
                if frame.revision % 2:
                    await one.durability._sync()
                    disk.events.append(Event("safe", number=reached))
            disk.events.append(Event("safe", number=await one.durability.take()))
    safe = 0
    for count in range(len(disk.events) + 1):
        if count and disk.events[count - 1].what == "safe":
            safe = disk.events[count - 1].number
        directory = tmp_path / f"{count}"
        lose_power(disk.events[:count], directory, names_survive=names_survive)
        state = await found(directory)
        assert state["revision"] >= safe
        assert state == STATES[state["revision"]]
        shutil.rmtree(directory)
    assert safe == FRAMES[15].revision


def test_followers_of_other_lives_agree() -> None:
    """The frames of these tests reach many different states, or they would tell nothing."""
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for frame in FRAMES:
        follow(shard, frame)
    assert state_of(shard) == FINAL
    assert len({repr(state) for state in STATES.values()}) == len(STATES) > 20
