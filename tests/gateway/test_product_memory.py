from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.gateway.product_memory import ProductMemory
from services.gateway.recent_changes import RecentChanges
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import ProductChange, StoredProduct
from services.gateway.store.log import ChangeLog, Write
from services.gateway.store.sqlite import SqliteStore
from tests.patience import until
from vitrine.v1 import catalog_pb2

CATALOG = "shop"


class CountingStore:
    """A store that counts how often products are read."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def products(
        self, catalog: str, product_ids: Collection[str], *, with_rows: bool = False
    ) -> Mapping[str, StoredProduct]:
        self.reads += 1
        return await self._store.products(catalog, product_ids, with_rows=with_rows)


class Shop:
    """A log, and a memory of what it wrote, at a time that stands still as the machine may."""

    def __init__(self, store: CountingStore, log: ChangeLog, *, max_bytes: int = 1 << 20) -> None:
        self.store = store
        self.log = log
        self.recent = RecentChanges(store, log, poll_s=0.05, clock=lambda: 0.0)
        self.memory = ProductMemory(store, self.recent, max_bytes=max_bytes)

    async def write(self, product_id: str, title: str | None) -> int:
        product = None if title is None else catalog_pb2.Product(title=title).SerializeToString()
        change = ProductChange(CATALOG, product_id, product, None)
        return await self.log.write(Write((change,)))

    async def titles(self, *product_ids: str, min_revision: int = 0) -> list[str | None]:
        """What a search would show of products."""
        products = self.memory.remembered(CATALOG, product_ids, min_revision=min_revision)
        missing = [each for each in product_ids if each not in products]
        if missing:
            products |= await self.memory.read(CATALOG, missing)
        return [products[each].title if each in products else None for each in product_ids]

    async def warm(self) -> None:
        """Return once changes are being followed up to the head."""
        await until(lambda: self.recent.is_fresh(self.log.head))

    async def shows(self, product_id: str, title: str | None) -> None:
        """Return once searches show this title."""
        async with asyncio.timeout(60):
            while await self.titles(product_id) != [title]:  # noqa: ASYNC110 - a store sets no event
                await asyncio.sleep(0.01)


def failed() -> None:
    raise AssertionError("a task failed")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "catalog.db"))
    log = ChangeLog(store, keep_entries=1_000)
    await log.start()
    made = Shop(CountingStore(store), log)
    async with log.running(failed), made.recent.running(failed):
        yield made
    await store.close()


async def test_what_has_not_changed_is_read_once(shop: Shop) -> None:
    """A product that was read is not read again while nobody writes it, whatever else is written."""
    await shop.write("a", "one")
    await shop.warm()
    assert await shop.titles("a") == ["one"]
    await shop.write("b", "other")
    await shop.warm()
    assert await shop.titles("a") == ["one"]
    assert shop.store.reads == 1


async def test_only_what_has_changed_is_read_again(shop: Shop) -> None:
    """Of several products those that nobody wrote come from memory."""
    for name in ("a", "b"):
        await shop.write(name, name)
    await shop.warm()
    await shop.titles("a", "b")
    await shop.write("b", "changed")
    await shop.warm()
    assert shop.memory.remembered(CATALOG, ["a", "b"], min_revision=0).keys() == {"a"}
    assert await shop.titles("a", "b") == ["a", "changed"]


async def test_what_was_written_is_seen_at_once_by_revision(shop: Shop) -> None:
    """With the revision of a write as the least one, a product is never older than that."""
    await shop.write("a", "0")
    await shop.warm()
    for number in range(1, 30):
        await shop.titles("a")
        revision = await shop.write("a", str(number))
        assert await shop.titles("a", min_revision=revision) == [str(number)]


async def test_what_another_gateway_writes_is_noticed(shop: Shop) -> None:
    """What another log on the same store writes and deletes shows after a moment."""
    await shop.write("a", "mine")
    await shop.warm()
    assert await shop.titles("a") == ["mine"]
    other = ChangeLog(shop.store, keep_entries=1_000)
    await other.start()
    async with other.running(failed):
        for title in ("theirs", None):
            product = None if title is None else catalog_pb2.Product(title=title).SerializeToString()
            await other.write(Write((ProductChange(CATALOG, "a", product, None),)))
            await shop.shows("a", title)


async def test_a_read_that_a_write_overtakes_is_not_kept(shop: Shop) -> None:
    """What was read before a write was noticed counts as read before it, and is read again."""
    await shop.write("a", "old")
    await shop.warm()
    stale = await shop.memory.read(CATALOG, ["a"])
    revision = await shop.write("a", "new")
    await shop.warm()
    assert stale["a"].title == "old"
    assert await shop.titles("a", min_revision=revision) == ["new"]


async def test_a_log_that_was_trimmed_makes_everything_unknown(shop: Shop) -> None:
    """Where the log no longer tells what has changed, all is read again."""
    await shop.write("a", "old")
    await shop.warm()
    await shop.titles("a")
    other = ChangeLog(shop.store, keep_entries=1_000)
    await other.start()
    async with other.running(failed):
        for number in range(5):
            await other.write(Write((ProductChange(CATALOG, "b", b"", None),)))
            product = catalog_pb2.Product(title=str(number)).SerializeToString()
            await other.write(Write((ProductChange(CATALOG, "a", product, None),)))
    await shop.store.trim(1)
    await shop.shows("a", "4")


async def test_it_is_bounded_by_bytes(shop: Shop) -> None:
    """What was used longest ago goes first, and what does not fit is not kept."""
    for name in ("a", "b", "c"):
        await shop.write(name, name)
    await shop.warm()
    memory = ProductMemory(shop.store, shop.recent, max_bytes=2 * 650)
    await memory.read(CATALOG, ["a", "b"])
    assert memory.remembered(CATALOG, ["a"], min_revision=0)
    await memory.read(CATALOG, ["c"])
    assert memory.last_known(CATALOG, ["a", "b", "c"]).keys() == {"a", "c"}
    assert ProductMemory(shop.store, shop.recent, max_bytes=0).last_known(CATALOG, ["a"]) == {}


async def test_nobody_looks_for_those_who_do_not_ask(shop: Shop) -> None:
    """Without a look at it for long, nothing counts as fresh."""
    await shop.write("a", "a")
    await shop.warm()
    clock = [1_000.0]
    idle = RecentChanges(shop.store, shop.log, poll_s=0.05, clock=lambda: clock[0])
    assert not idle.is_fresh(0)
    async with idle.running(failed):
        await until(lambda: idle.is_fresh(0))
        clock[0] += 1.0
        assert not idle.is_fresh(0)
