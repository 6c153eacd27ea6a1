from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from services.gateway.store.interface import Bounds, CatalogChange, Entry, HeadMoved, ProductChange
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.mongo.catalog import MongoStore
from services.gateway.store.mongo.connection import MongoConnection
from services.mesh.errors import Unavailable
from tests.engines.mongo.engine import MongoEngine
from tests.gateway.store.mongo.emptying import emptied
from tests.gateway.store_suite import Opener, StoreSuite, commit, contents, deleted, record, written

Result = TypeVar("Result")


async def opened(url: str) -> MongoStore:
    return MongoStore(await MongoConnection.open(url))


async def answered(call: Callable[[], Awaitable[Result]]) -> Result:
    """What a server says as soon as it is there for who waits only a second for it."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await call()


@pytest.fixture
def store(connection: MongoConnection) -> MongoStore:
    return MongoStore(connection)


@pytest.fixture
async def log(store: MongoStore) -> AsyncIterator[ChangeLog]:
    made = ChangeLog(store, keep_entries=1_000)
    await made.start()
    async with made.running(lambda: None):
        yield made


@pytest.fixture
def opener(mongo_engine: MongoEngine) -> Opener:
    async def new() -> MongoStore:
        connection = await MongoConnection.open(mongo_engine.url("opened", is_patient=True))
        await emptied(connection)
        return MongoStore(connection)

    return new


class TestMongo(StoreSuite):
    pass


async def test_it_is_there_after_reopening(mongo_url: str) -> None:
    """Closing and opening again, migrations included, changes nothing."""
    for count in (1, 2):
        store = await opened(mongo_url)
        log = ChangeLog(store, keep_entries=100)
        await log.start()
        async with log.running(lambda: None):
            await log.write(Write((written(f"p{count}"),), {}))
        assert len(await contents(store)) == count
        await store.close()


async def test_two_appenders_never_share_a_revision(mongo_url: str) -> None:
    """Of those who want a place at once one gets it; the others hear of it, and no place stays empty."""
    stores = [await opened(mongo_url) for _ in range(2)]
    places: list[int] = []

    async def append(store: MongoStore, count: int) -> None:
        while count:
            revision = (await store.bounds()).head + 1
            try:
                await store.append(Entry(revision, 1))
            except HeadMoved:
                continue
            places.append(revision)
            count -= 1

    await asyncio.gather(*(append(store, 40) for store in stores))
    assert sorted(places) == list(range(1, 81))
    assert [entry.revision for entry in await stores[0].entries(0)] == list(range(1, 81))
    for store in stores:
        await store.close()


async def test_a_trimmed_place_is_not_given_again(mongo_url: str) -> None:
    """Who stood still while others went on and trimmed gets no old place and leaves no outcome behind."""
    still, moving = await opened(mongo_url), await opened(mongo_url)
    await commit(still, written("a"))
    for _ in range(3):
        await commit(moving)
    await moving.trim(1)
    with pytest.raises(Unavailable):
        await still.append(Entry(2, 1, (written("b"),), outcomes={"k": b"done"}))
    assert await still.outcome("k") is None
    assert await still.bounds() == Bounds(3, 4)
    assert [entry.revision for entry in await still.entries(3)] == [4]
    with pytest.raises(HeadMoved):
        await still.append(Entry(2, 1))
    for store in (still, moving):
        await store.close()


async def test_older_and_newer_entries_meet(mongo_url: str) -> None:
    """Two gateways that apply different entries at the same time leave the newer one, whoever is first."""
    stores = [await opened(mongo_url) for _ in range(2)]
    for turn in range(20):
        ids = [f"p{turn}-{index}" for index in range(10)]
        old, new = (
            Entry(2 * turn + step, 1, tuple(written(each, title) for each in ids))
            for step, title in ((1, "old"), (2, "new"))
        )
        for entry in (old, new):
            await stores[0].append(entry)
        await asyncio.gather(stores[turn % 2].apply(old), stores[1 - turn % 2].apply(new))
        found = await stores[0].products("shop", ids)
        assert [each.message().title for each in found.values()] == ["new"] * len(ids)
    for store in stores:
        await store.close()


async def test_tombstones_outlive_a_gateway_that_stands_still(store: MongoStore) -> None:
    """What has just been deleted leaves a tombstone, however short the log is kept."""
    await commit(store, written("a"))
    entry = Entry(2, time.time_ns() // 1_000_000, (deleted("a"),))
    await store.append(entry)
    await store.apply(entry)
    await store.trim(0)
    assert await store._products.count_documents({}) == 1
    assert await contents(store) == {}


async def test_a_page_costs_what_it_holds(mongo_url: str) -> None:
    """Nothing looks into other products than those it gives, and counts look into none."""
    connection = await MongoConnection.open(mongo_url)
    store = MongoStore(connection)
    products = (written(f"p{i:03}", flagged=i % 50 == 0) for i in range(200))
    await commit(store, *products, catalogs=[CatalogChange("shop", record("shop"))])
    await commit(store, *(written(f"p{i:03}", rows={"g2": b"v"}, flagged=i % 50 == 0) for i in range(190)))

    async def looked() -> tuple[int, int]:
        """How many keys and how many documents the server has looked at since it was started."""
        queries = (await connection.database.command("serverStatus"))["metrics"]["queryExecutor"]
        return queries["scanned"], queries["scannedObjects"]

    calls: list[tuple[Callable[[], Awaitable[object]], int, int]] = [
        (lambda: store.counts("shop"), 202, 0),
        (lambda: store.covered("shop", "g2"), 195, 0),
        (lambda: store.lacking("shop", "g2", "p194", 3), 8, 3),
        (lambda: store.list_products("shop", "p100", 5), 6, 5),
        (lambda: store.list_products("shop", "", 2, flagged_only=True), 3, 2),
        (lambda: store.scan(range(0, 1024, 2), ("shop", "p100"), 5), 40, 5),
        (lambda: store.products("shop", ["p001", "p002"]), 4, 2),
        (lambda: store.purge("shop", ["g1"], 3, at=1), 17, 7),
    ]
    for call, most_keys, most_documents in calls:
        keys, documents = await looked()
        await call()
        keys_after, documents_after = await looked()
        assert keys_after - keys <= most_keys
        assert documents_after - documents <= most_documents
    await connection.close()


async def test_what_is_written_during_a_purge_stays(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge that stands still after its look at the record spares what products have been given since."""
    dying = replace(record("shop", "g1"), is_deleting=True)
    await commit(store, written("a"), written("b"), catalogs=[CatalogChange("shop", dying)])
    find_one = store._catalogs.find_one

    async def overtaken(query: dict[str, object]) -> object:
        found = await find_one(query)
        # Others finish the deletion meanwhile, and somebody creates the catalogue anew.
        await commit(store, deleted("a"), deleted("b"))
        await commit(store, catalogs=[CatalogChange("shop", None)])
        await commit(store, written("a"), catalogs=[CatalogChange("shop", record("shop", "g1"))])
        return found

    monkeypatch.setattr(store._catalogs, "find_one", overtaken)
    await store.purge("shop", (), 100, at=1)
    assert await store.covered("shop", "g1") == 1


async def test_a_cancelled_call_ends_at_once_and_breaks_nothing(store: MongoStore) -> None:
    """A cancellation is never swallowed, at whatever moment it comes, and what comes after it works."""
    entry = await commit(store, *(written(f"p{i}") for i in range(20)))
    calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
        store.bounds,
        lambda: store.apply(entry),
        lambda: store.entries(0),
        lambda: store.products("shop", ["p1"]),
        lambda: store.lease("job", "me", 60),
    ]
    for turns in range(40):
        for call in calls:
            task = asyncio.create_task(call())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
    assert len(await contents(store)) == 20
    assert await store.entries(0) == [entry]


@pytest.mark.faults
@pytest.mark.usefixtures("unreachable")
async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """A server killed at any moment has every acknowledged write afterwards, and its log has no gap."""
    acknowledged: dict[str, int] = {}
    rng = random.Random(7)
    with MongoEngine(tmp_path / "data") as engine:
        # Nobody waits long for a server that was killed.
        url = f"{engine.url()}&serverSelectionTimeoutMS=200"
        store = await answered(lambda: opened(url))
        log = ChangeLog(store, keep_entries=100_000)
        await log.start()
        killing, goal, reached = asyncio.Event(), 0, asyncio.Event()

        async def write(name: str) -> None:
            for index in itertools.count():
                change = ProductChange("shop", f"{name}-{index}", b"", {"g1": bytes(20_000)})
                try:
                    acknowledged[change.product_id] = await log.write(Write((change,), {change.key: 0}))
                    if len(acknowledged) >= goal:
                        reached.set()
                except Unavailable:
                    if killing.is_set():
                        return

        async with log.running(lambda: None):
            for life in range(3):
                killing.clear()
                reached.clear()
                goal = len(acknowledged) + rng.randint(20, 80)
                writers = [asyncio.create_task(write(f"{life}-{index}")) for index in range(8)]
                async with asyncio.timeout(60):
                    await reached.wait()
                    killing.set()
                    engine.kill()
                    await asyncio.gather(*writers)
                engine.start()
            await store.close()

        store = await opened(engine.url(is_patient=True))
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


@pytest.mark.faults
@pytest.mark.usefixtures("unreachable")
async def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Without a server every call is refused within seconds, and with it again the same store works on."""
    with MongoEngine(tmp_path / "data") as engine:
        store = await answered(lambda: opened(engine.url()))
        log = ChangeLog(store, keep_entries=100)
        await log.start()
        async with log.running(lambda: None):
            assert await log.write(Write((written("a"),), {})) == 1
            engine.kill()
            async with asyncio.timeout(60):
                refusals = await asyncio.gather(
                    store.bounds(),
                    store.applied(),
                    store.counts("shop"),
                    store.trim(1),
                    log.write(Write((written("b"),), {})),
                    return_exceptions=True,
                )
            for refusal in refusals:
                assert isinstance(refusal, Unavailable)
                assert refusal.reason == "STORE_UNAVAILABLE"
            engine.start()
            await answered(store.bounds)
            assert await log.write(Write((written("c"),), {})) == 2
        assert set(await contents(store)) == {("shop", "a"), ("shop", "c")}
        await store.close()
