from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.storage_writer import FRAMES
from tests.vectorsearch.storage.frames import state_of, states
from tests.vectorsearch.storage.lives import Life

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]


def run_writer(*arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.storage_writer", *map(str, arguments)],
        cwd=ROOT,
        check=True,
        timeout=600,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def sorted_homes(directory: Path) -> list[Path]:
    return sorted(directory.iterdir(), key=lambda home: int(home.name))


async def test_a_shard_killed_at_any_step_to_the_disk_loses_nothing(tmp_path: Path) -> None:
    """What had been journaled is there after a kill -9, nothing else is, and the feed brings the rest."""
    run_writer("killed", tmp_path)
    reached = states(FRAMES)
    final = reached[FRAMES[-1].revision]
    homes = sorted_homes(tmp_path)
    for home in homes:
        kept = int((home / "reached").read_bytes() or b"0")
        one = Life(home / "kept")
        assert one.shard.revision >= kept
        assert state_of(one.shard) == reached[one.shard.revision]
        await one.follow(*(frame for frame in FRAMES if frame.revision > one.shard.revision))
        assert state_of(one.shard) == final
        await one.die()
        two = Life(home / "kept")
        assert state_of(two.shard) == final
        await two.end()
    assert len(homes) > 60


async def test_a_real_limit_of_the_disk_is_met_and_outlived(tmp_path: Path) -> None:
    """Files that may not grow stop the journal and refuse snapshots; once they may, all is kept again."""
    told = json.loads(run_writer("limited", tmp_path).splitlines()[-1])
    reached = states(FRAMES)
    assert 0 < told["journal"] < FRAMES[-2].revision
    assert told["refused"] == "SNAPSHOT_FAILED"
    assert all(name == "lock" or name.endswith(".journal") for name in told["files"])
    assert told["snapshot"] == FRAMES[-2].revision
    one = Life(tmp_path)
    assert state_of(one.shard) == reached[FRAMES[-1].revision]
    await one.die()
