from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.sqlite import SqliteStore
from services.mesh.errors import Unavailable
from tests.gateway.store_suite import Opener, StoreSuite, contents, written


async def opened(path: Path) -> SqliteStore:
    return SqliteStore(await SqliteDatabase.open(path))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(tmp_path / "catalog.db")
    yield made
    await made.close()


@pytest.fixture
async def log(store: SqliteStore) -> AsyncIterator[ChangeLog]:
    made = ChangeLog(store, keep_entries=1_000)
    await made.start()
    async with made.running(lambda: None):
        yield made


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    async def new() -> SqliteStore:
        return await opened(Path(tempfile.mkdtemp(dir=tmp_path)) / "catalog.db")

    return new


class TestSqlite(StoreSuite):
    pass


async def test_it_is_there_after_reopening(tmp_path: Path) -> None:
    """Closing and opening again, migrations included, changes nothing."""
    for count in (1, 2):
        store = await opened(tmp_path / "catalog.db")
        log = ChangeLog(store, keep_entries=100)
        await log.start()
        async with log.running(lambda: None):
            await log.write(Write((written(f"p{count}"),), {}))
        assert len(await contents(store)) == count
        await store.close()


async def test_the_log_is_trimmed_as_it_grows(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer forgets old entries every so many."""
    monkeypatch.setattr("services.gateway.store.log.TRIM_EVERY_ENTRIES", 10)
    log = ChangeLog(store, keep_entries=5)
    async with log.running(lambda: None):
        for index in range(12):
            await log.write(Write((written(f"p{index}"),), {}))
    bounds = await store.bounds()
    assert (bounds.floor, bounds.head) == (5, 12)


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """What SQLite cannot do is UNAVAILABLE, for the writers who wait too, and the log works on afterwards."""
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(Unavailable):
        await opened(tmp_path / "catalog.db")
    database = await SqliteDatabase.open(tmp_path / "other.db")
    store = SqliteStore(database)
    log = ChangeLog(store, keep_entries=100)
    await log.start()
    async with log.running(lambda: None):
        await database.write(
            lambda connection: connection.exec_driver_sql("ALTER TABLE entries RENAME TO away")
        )
        with pytest.raises(Unavailable) as refused:
            await log.write(Write((written("a"),), {}))
        assert refused.value.reason == "STORE_UNAVAILABLE"
        await database.write(
            lambda connection: connection.exec_driver_sql("ALTER TABLE away RENAME TO entries")
        )
        assert await log.write(Write((written("a"),), {})) == 1
    await store.close()


async def test_a_writer_that_fails_is_told(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the writer is not swallowed: the process hears of it and leaving raises it."""

    async def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "bounds", broken)
    told = asyncio.Event()
    log = ChangeLog(store, keep_entries=100)

    async def fail() -> None:
        async with log.running(told.set):
            writing = asyncio.create_task(log.write(Write((written("a"),), {})))
            await asyncio.wait_for(told.wait(), 60)
            writing.cancel()

    with pytest.raises(ZeroDivisionError):
        await fail()


_WRITER = """
import asyncio, structlog, sys
from pathlib import Path
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.sqlite import SqliteStore
from services.gateway.store.interface import ProductChange

async def write(log, name):
    for index in range(10_000):
        product_id = f"{name}-{index}"
        change = ProductChange("shop", product_id, b"", {"g1": bytes(20_000)})
        revision = await log.write(Write((change,), {change.key: 0}))
        print(product_id, revision, flush=True)

async def main():
    store = SqliteStore(await SqliteDatabase.open(Path(sys.argv[1])))
    log = ChangeLog(store, keep_entries=100_000)
    await log.start()
    async with log.running(lambda: None):
        await asyncio.gather(*(write(log, f"{sys.argv[2]}-{i}") for i in range(8)))

# Lines of the log would stand among what is acknowledged.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
"""


@pytest.mark.faults
async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """A writer killed at any moment leaves every acknowledged write, no gap, and a tail that is finished."""
    path = tmp_path / "catalog.db"
    acknowledged: dict[str, int] = {}
    rng = random.Random(7)
    for life in range(3):
        acknowledged |= await asyncio.to_thread(_killed, path, life, rng.randint(20, 80))
    store = await opened(path)
    log = ChangeLog(store, keep_entries=100_000)
    await log.start()
    bounds = await store.bounds()
    assert bounds.head == await store.applied() == log.head
    revisions: list[int] = []
    logged: dict[str, int] = {}
    while entries := await store.entries(revisions[-1] if revisions else 0):
        revisions += [entry.revision for entry in entries]
        logged |= {change.product_id: entry.revision for entry in entries for change in entry.changes}
    assert revisions == list(range(1, bounds.head + 1))
    assert acknowledged.items() <= logged.items()
    assert {product_id for _, product_id in await contents(store)} == logged.keys()
    assert len(acknowledged) >= 60
    await store.close()


def _killed(path: Path, life: int, after: int) -> dict[str, int]:
    """Run a writer until it has acknowledged `after` writes, and kill it; what it has acknowledged."""
    command = [sys.executable, "-c", _WRITER, str(path), str(life)]
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            product_id, _, revision = line.rstrip("\n").partition(" ")
            if line.endswith("\n"):
                acknowledged[product_id] = int(revision)
            if len(acknowledged) == after:
                os.kill(process.pid, signal.SIGKILL)
    return acknowledged


_DIES_BEFORE_APPLYING = """
import asyncio, os, signal, sys
from pathlib import Path
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import ProductChange
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.sqlite import SqliteStore

class Store(SqliteStore):
    async def apply(self, entry):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    log = ChangeLog(Store(await SqliteDatabase.open(Path(sys.argv[1]))), keep_entries=100)
    await log.start()
    async with log.running(lambda: None):
        await log.write(Write((ProductChange("shop", "a", b"", None),)))

asyncio.run(main())
"""


@pytest.mark.faults
async def test_what_a_killed_gateway_has_appended_is_applied_by_another(tmp_path: Path) -> None:
    """A gateway that is followed finishes a write whose writer died between appending and applying it."""
    store = await opened(tmp_path / "catalog.db")
    log = ChangeLog(store, keep_entries=100)
    await log.start()
    async with log.running(lambda: None):
        with log.followed():
            command = [sys.executable, "-c", _DIES_BEFORE_APPLYING, str(tmp_path / "catalog.db")]
            died = await asyncio.to_thread(
                subprocess.run, command, cwd=Path(__file__).parents[3], check=False
            )
            assert died.returncode == -signal.SIGKILL
            assert (await store.bounds()).head == 1
            assert await log.wait_past(0, 60) == 1
    assert set(await contents(store)) == {("shop", "a")}
    await store.close()
