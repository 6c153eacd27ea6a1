"""Keeps a shard on disk and kills itself at a step of that: a program for `test_shard_storage.py`.

`python -m tests.faults.storage_writer killed DIRECTORY` forks a child for each step that there is, which
lives in `DIRECTORY/<step>` and leaves `reached` there, the last revision that it was told to be kept.
`... limited DIRECTORY` meets a real limit of the size of files.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import NoReturn

from services.mesh.errors import Unavailable
from tests.vectorsearch.storage.disks import SteppedDisk
from tests.vectorsearch.storage.frames import frames
from tests.vectorsearch.storage.lives import Life

FRAMES = frames(16)
SNAPSHOTS_AFTER = (3, 7, 8, 13)

# Of one file: too little for all frames, and for a snapshot of them.
LIMIT_BYTES = 1_500


class DeadlyDisk(SteppedDisk):
    """Kills the process at one step."""

    def __init__(self, fatal: int) -> None:
        self._steps = itertools.count()
        self._fatal = fatal

    def step(self, what: str) -> None:
        if next(self._steps) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


async def live(directory: Path, fatal: int) -> None:
    reached = os.open(directory / "reached", os.O_WRONLY | os.O_CREAT)
    one = Life(directory / "kept", disk=DeadlyDisk(fatal))
    taking = []
    for number, frame in enumerate(FRAMES):
        await one.follow(frame)
        os.pwrite(reached, b"%8d" % one.durability.journal_revision, 0)
        if number in SNAPSHOTS_AFTER:
            # Others are applied meanwhile.
            taking.append(asyncio.create_task(one.durability.take()))
        if number % 5 == 4:
            await one.durability._sync()
            await asyncio.gather(*taking)
    await one.end()


def _names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _end_with(work: Coroutine[None, None, None]) -> NoReturn:
    status = 1
    try:
        asyncio.run(work)
        status = 0
    finally:
        os._exit(status)


def killed(directory: Path) -> None:
    """One child after the other, until one comes to its end."""
    for fatal in itertools.count():
        home = directory / f"{fatal}"
        home.mkdir()
        child = os.fork()
        if not child:
            _end_with(live(home, fatal))
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(os.waitstatus_to_exitcode(status))


async def limited(directory: Path) -> None:
    """Meet the limit with the journal, then with a snapshot; then have it lifted. Tells all in JSON."""
    one = Life(directory)
    _, most_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, most_bytes))
    await one.follow(*FRAMES[:-1])
    told: dict[str, object] = {"journal": one.durability.journal_revision}
    try:
        await one.durability.take()
    except Unavailable as error:
        told["refused"] = error.reason
    told["files"] = _names_in(directory)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    told["snapshot"] = await one.durability.take()
    await one.follow(FRAMES[-1])
    await one.die()
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what == "killed":
        killed(Path(where))
    else:
        asyncio.run(limited(Path(where)))
