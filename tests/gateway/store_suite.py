"""What every store must do. A test module subclasses `StoreSuite` and gives it `store`, `log`, `opener`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.store.interface import (
    Bounds,
    CatalogRecord,
    Entry,
    HeadMoved,
    ProductChange,
    ProductKey,
    Store,
)
from services.gateway.store.log import ChangeLog, Replay, Stale, Write
from services.mesh import deadline
from services.mesh.buckets import bucket_of
from services.mesh.errors import AlreadyExists, DeadlineExceeded, OutOfRange, ResourceExhausted
from vitrine.v1 import catalog_pb2, common_pb2

Opener = Callable[[], Awaitable[Store]]


def written(
    product_id: str, title: str = "", *, catalog: str = "shop", rows: bytes | None = b"v"
) -> ProductChange:
    product = catalog_pb2.Product(title=title or product_id).SerializeToString()
    return ProductChange(catalog, product_id, product, rows, photo_count=1 if rows else 0)


def deleted(product_id: str, *, catalog: str = "shop") -> ProductChange:
    return ProductChange(catalog, product_id, None, None)


async def commit(store: Store, *changes: ProductChange, outcomes: dict[str, bytes] | None = None) -> Entry:
    revision = (await store.bounds()).head + 1
    entry = Entry(revision, 1_000 * revision, changes, outcomes or {})
    await store.append(entry)
    await store.apply(entry)
    return entry


async def contents(store: Store) -> dict[ProductKey, tuple[int, str, bytes]]:
    """Everything in the projections: revision, title and vectors by product."""
    found: dict[ProductKey, tuple[int, str, bytes]] = {}
    after: ProductKey | None = None
    while page := await store.scan(range(1024), after, 3):
        for each in page:
            found[each.catalog, each.product_id] = each.revision, each.message().title, each.rows or b""
        after = page[-1].catalog, page[-1].product_id
    return found


_CHANGES = st.lists(
    st.lists(
        st.builds(
            lambda product_id, kind: {
                "whole": written(product_id, rows=b"vectors"),
                "attributes": written(product_id, "new", rows=None),
                "deleted": deleted(product_id),
            }[kind],
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["whole", "attributes", "deleted"]),
        ),
        max_size=3,
        unique_by=lambda change: change.key,
    ),
    max_size=8,
)


class StoreSuite:
    async def test_a_new_store_is_empty(self, store: Store) -> None:
        """Nothing is in a new store, and its log begins at 0."""
        assert await store.bounds() == Bounds(0, 0)
        assert await store.applied() == 0
        assert await store.entries(0) == []
        assert await store.catalog("shop") is None
        assert await contents(store) == {}

    async def test_an_entry_has_one_place(self, store: Store) -> None:
        """An entry is appended at the head plus one alone, so the log has neither gaps nor forks."""
        await store.append(Entry(1, 1, (written("a"),)))
        for revision in (1, 3):
            with pytest.raises(HeadMoved):
                await store.append(Entry(revision, 1, (written("b"),)))
        assert await store.bounds() == Bounds(0, 1)
        assert await store.applied() == 0

    async def test_entries_come_back_as_written(self, store: Store) -> None:
        """The log is read in order and in bounded parts, and not beyond its ends."""
        made = [
            await commit(store, written("a"), deleted("b")),
            await commit(store),
            await commit(store, written("c")),
        ]
        assert await store.entries(0) == made
        assert await store.entries(1) == made[1:]
        assert await store.entries(0, max_entries=2) == made[:2]
        assert await store.entries(0, max_bytes=1) == made[:1]
        assert await store.entries(3) == []
        with pytest.raises(OutOfRange):
            await store.entries(4)

    async def test_products_are_projected(self, store: Store) -> None:
        """Reads see whole products; attributes change without the vectors; the deleted are gone."""
        await commit(store, written("a"), written("b"), written("c"))
        await commit(store, written("a", "cheaper", rows=None), deleted("b"))
        found = await store.products("shop", ["a", "b", "z"], with_rows=True)
        assert list(found) == ["a"]
        assert (found["a"].revision, found["a"].rows, found["a"].message().title) == (2, b"v", "cheaper")
        assert found["a"].message().update_time.seconds == 2
        assert (await store.products("shop", ["a"]))["a"].rows is None
        assert [each.product_id for each in await store.list_products("shop", "", 10)] == ["a", "c"]
        assert [each.product_id for each in await store.list_products("shop", "a", 10)] == ["c"]
        assert await store.revisions([("shop", "a"), ("shop", "b"), ("other", "a")]) == {("shop", "a"): 2}
        counts = await store.counts("shop")
        assert (counts.products, counts.photos) == (2, 1)

    async def test_many_products_are_read_at_once(self, store: Store) -> None:
        """More products than a statement of a database may name are read and checked in one call."""
        ids = [f"p{i}" for i in range(1_200)]
        for start in range(0, len(ids), 200):
            await commit(store, *(written(each) for each in ids[start : start + 200]))
        assert len(await store.products("shop", ids)) == 1_200
        assert len(await store.revisions([("shop", each) for each in ids])) == 1_200

    async def test_a_scan_is_of_its_buckets(self, store: Store) -> None:
        """A scan goes through the products of some buckets once, in bounded pages."""
        await commit(store, *(written(f"p{i}") for i in range(40)))
        buckets = list(range(0, 1024, 2))
        found = await store.scan(buckets, None, 100)
        assert [each.product_id for each in found] == sorted(
            f"p{i}" for i in range(40) if bucket_of("shop", f"p{i}") % 2 == 0
        )
        assert await store.scan(buckets, ("shop", found[1].product_id), 2) == found[2:4]

    async def test_outcomes_are_remembered(self, store: Store) -> None:
        """What a write answered is found by its key for as long as the log reaches back."""
        await commit(store, written("a"), outcomes={"k": b"done"})
        assert await store.outcome("k") == b"done"
        assert await store.outcome("other") is None
        await commit(store)
        await store.trim(1)
        assert await store.outcome("k") is None

    async def test_retention_keeps_what_there_is(self, store: Store) -> None:
        """A trimmed log has a floor; products stay, and followers from before it are told."""
        await commit(store, written("a"))
        await commit(store, deleted("a"), written("b"))
        await commit(store, written("c"))
        await store.trim(5)
        assert await store.bounds() == Bounds(0, 3)
        await store.trim(1)
        assert await store.bounds() == Bounds(2, 3)
        assert set(await contents(store)) == {("shop", "b"), ("shop", "c")}
        assert len(await store.entries(2)) == 1
        with pytest.raises(OutOfRange):
            await store.entries(1)
        await store.trim(0)
        assert await store.bounds() == Bounds(3, 3)
        assert (await commit(store, written("a"))).revision == 4

    async def test_what_is_not_applied_is_not_trimmed(self, store: Store) -> None:
        """The tail that a dead writer left stays until it is applied."""
        await commit(store, written("a"))
        await store.append(Entry(2, 1, (written("b"),)))
        await store.trim(0)
        assert await store.bounds() == Bounds(1, 2)

    async def test_catalogues(self, store: Store) -> None:
        """A catalogue is created once and found by id."""
        record = CatalogRecord("shop", common_pb2.Generation(id="g1"), 5)
        await store.create_catalog(record)
        with pytest.raises(AlreadyExists):
            await store.create_catalog(record)
        assert await store.catalog("shop") == record
        await store.create_catalog(CatalogRecord("art", common_pb2.Generation(id="g1"), 6))
        assert [each.catalog for each in await store.catalogs("", 10)] == ["art", "shop"]
        assert [each.catalog for each in await store.catalogs("art", 10)] == ["shop"]

    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(batches=_CHANGES, replayed=st.lists(st.integers(0, 7), max_size=4))
    def test_applying_again_changes_nothing(
        self, opener: Opener, batches: list[list[ProductChange]], replayed: list[int]
    ) -> None:
        """The projections are those of the log in order, whichever entries are applied again afterwards."""

        async def run() -> None:
            store = await opener()
            entries = [await commit(store, *changes) for changes in batches]
            before = await contents(store)
            for index in replayed:
                if index < len(entries):
                    await store.apply(entries[index])
            assert await contents(store) == before == _replayed(entries)
            assert await store.applied() == len(entries)
            await store.close()

        asyncio.run(run())

    async def test_a_dead_writers_tail_is_finished(self, store: Store) -> None:
        """What was appended but not applied is applied by whoever comes next."""
        await commit(store, written("a"))
        await store.append(Entry(2, 1, (written("b"),)))
        await store.append(Entry(3, 1, (deleted("a"),)))
        log = ChangeLog(store, keep_entries=100)
        await log.start()
        assert log.head == 3
        assert set(await contents(store)) == {("shop", "b")}

    async def test_writes_that_wait_share_an_entry(self, log: ChangeLog, store: Store) -> None:
        """Concurrent writes are few entries, each within its limits and no product twice in one."""
        writes = [Write((written(f"p{i % 50}"),), {}) for i in range(100)]
        revisions = await asyncio.gather(*(log.write(write) for write in writes))
        assert log.head == (await store.bounds()).head == max(revisions) <= 10
        assert len(await contents(store)) == 50
        for entry in await store.entries(0):
            keys = [change.key for change in entry.changes]
            assert len(keys) == len(set(keys))

    async def test_preconditions_are_checked_at_the_head(self, log: ChangeLog) -> None:
        """A write that was prepared on something else than the head is stale."""
        key = ("shop", "a")
        first = await log.write(Write((written("a"),), {key: 0}))
        with pytest.raises(Stale):
            await log.write(Write((written("a"),), {key: 0}))
        assert await log.write(Write((written("a"),), {key: first})) == first + 1
        results = await asyncio.gather(
            *(log.write(Write((written("a"),), {key: first + 1})) for _ in range(5)), return_exceptions=True
        )
        assert [type(each) for each in results].count(Stale) == 4

    async def test_a_request_key_is_written_once(self, log: ChangeLog) -> None:
        """A second write of a request key gets the outcome of the first, also when both wait together."""
        writes = [Write((written("a"),), {}, "key", lambda at: str(at).encode()) for _ in range(3)]
        results = await asyncio.gather(*(log.write(write) for write in writes), return_exceptions=True)
        assert results[0] == 1
        for each in results[1:]:
            assert isinstance(each, Replay)
            assert each.outcome == b"1"
        assert log.head == 1

    async def test_two_writers_share_one_log(self, store: Store) -> None:
        """Writers in two processes lose races, see what the other wrote, and leave no gap."""
        async with AsyncExitStack() as stack:
            logs = [ChangeLog(store, keep_entries=1_000) for _ in range(2)]
            for log in logs:
                await log.start()
                await stack.enter_async_context(log.running(lambda: None))
            writes = [
                logs[index % 2].write(Write((written(f"p{index}"),), {("shop", f"p{index}"): 0}))
                for index in range(40)
            ]
            await asyncio.gather(*writes)
            assert len(await contents(store)) == 40
            head = (await store.bounds()).head
            assert [entry.revision for entry in await store.entries(0)] == list(range(1, head + 1))
            assert await logs[0].wait_past(head, 0.01) == head

    async def test_followers_are_woken(self, log: ChangeLog) -> None:
        """Whoever waits for news gets it with the write, and after the time given otherwise."""
        waiting = asyncio.create_task(log.wait_past(0, 10.0))
        await asyncio.sleep(0)
        await log.write(Write((written("a"),), {}))
        assert await waiting == 1
        assert await log.wait_past(1, 0.01) == 1

    async def test_too_many_writes_are_refused(self, log: ChangeLog) -> None:
        """The queue is bounded, and a write that is not committed in time is DEADLINE_EXCEEDED."""
        writes = [log.write(Write((written(f"p{i}"),), {})) for i in range(300)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert any(isinstance(each, ResourceExhausted) for each in results)
        assert sum(isinstance(each, int) for each in results) >= 256
        with deadline.within(1e-9), pytest.raises(DeadlineExceeded):
            await log.write(Write((written("a"),), {}))


def _replayed(entries: list[Entry]) -> dict[ProductKey, tuple[int, str, bytes]]:
    """The projections by the simplest means."""
    found: dict[ProductKey, tuple[int, str, bytes]] = {}
    for entry in entries:
        for change in entry.changes:
            rows = found.get(change.key, (0, "", b""))[2] if change.rows is None else change.rows
            if change.product is None:
                found.pop(change.key, None)
            else:
                title = catalog_pb2.Product.FromString(change.product).title
                found[change.key] = entry.revision, title, rows
    return found
