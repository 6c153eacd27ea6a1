from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.gateway import shard_sets
from tests.faults.shard_processes import (
    CALLERS,
    TIMEOUT_S,
    Answer,
    ShardProcesses,
    free_replicas,
    shard_processes,
    until,
)

pytestmark = pytest.mark.faults

# An entry of the log has 256 at most. Enough for a shard without data to be seen on its way.
ENTRIES, ENTRY_PRODUCTS = 24, 256


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A shard that is silent for a second would have callers go back to the old ones.
    monkeypatch.setattr(shard_sets, "LOOK_TIMEOUT_S", TIMEOUT_S)


def partial(answers: list[Answer]) -> list[list[int]]:
    return [answer.missing for answer in answers if answer.missing]


async def test_replicas_stand_in_for_each_other(tmp_path: Path) -> None:
    """With 3 shards of 2 replicas under load, whatever is killed, no answer is wrong and all is whole again.

    One replica of a shard that is killed costs next to nothing, and after its restart it can stand in for the
    other. With both gone, and their data, answers say that the shard is missing until all of it is back.
    """
    targets = free_replicas(3, 2)
    first, second = targets[0]
    every = [target for replicas in targets for target in replicas]
    async with shard_processes(tmp_path, targets) as shards:
        for _ in range(ENTRIES):
            await shards.write(ENTRY_PRODUCTS)
        shards.start(targets)
        await until(lambda: shards.is_ready(*every))
        async with shards.load() as load:
            assert partial(await load.more(200)) == []

            shards.kill(first)
            missing = partial(await load.more(400))
            assert missing == [[0]] * len(missing)
            assert len(missing) <= CALLERS
            await until(lambda: not shards.is_ready(first))
            shards.start(targets)
            await until(lambda: shards.is_ready(first))

            shards.kill(second)
            missing = partial(await load.more(400))
            assert missing == [[0]] * len(missing)
            assert len(missing) <= CALLERS

            shards.kill(first)
            await load.next(lambda answer: answer.missing == [0])
            answers = await load.more(200)
            assert len(partial(answers)) > len(answers) / 2
            assert all(answer.missing in ([], [0]) for answer in answers)

            for target in targets[0]:
                shards.lose_data(target)
            shards.start(targets)
            await until(lambda: shards.is_ready(first, second))
            await load.renewed()
            assert partial(await load.more(200)) == []
        assert all(answer.missing or answer.revision == ENTRIES for answer in load.answers)


async def test_another_number_of_shards(tmp_path: Path) -> None:
    """From 2 shards to 3 under load while products are written, no answer is wrong or lacks anything."""
    old, new = free_replicas(2, 1), free_replicas(3, 1)
    async with shard_processes(tmp_path, old, new) as shards:
        for _ in range(ENTRIES):
            await shards.write(ENTRY_PRODUCTS)
        shards.start(old)
        await until(lambda: shards.is_ready(*(target for [target] in old)))
        async with shards.load() as load, asyncio.TaskGroup() as group:
            writing = group.create_task(_write(shards))
            assert {answer.total for answer in await load.more(100)} == {2}
            shards.start(new, besides=new[2])
            await until(lambda: shards.is_ready(*new[0], *new[1]))
            assert {answer.total for answer in await load.more(200)} == {2}
            shards.start(new)
            await load.next(lambda answer: answer.total == 3)
            await load.more(200)
            writing.cancel()
            # As long as something is written, callers go back to the old shards where new ones fall behind.
            await until(lambda: shards.holds_everything(new))
            await shards.client.sets.check()
            await load.renewed()
            for [target] in old:
                shards.kill(target)
            assert {answer.total for answer in await load.more(200)} == {3}
        assert partial(load.answers) == []
        assert len(shards.corpus.revisions) > ENTRIES * ENTRY_PRODUCTS


async def _write(shards: ShardProcesses) -> None:
    while True:
        await shards.write(1)
        await asyncio.sleep(0.01)
