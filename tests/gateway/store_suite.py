"""What every store must do. A test module subclasses `StoreSuite` and gives it `store`, `log`, `opener`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.gateway import metrics
from services.gateway.store.interface import (
    Bounds,
    CatalogChange,
    CatalogRecord,
    Entry,
    GenerationRecord,
    HeadMoved,
    ProductChange,
    ProductKey,
    Store,
)
from services.gateway.store.log import ChangeLog, Replay, Stale, Write
from services.mesh import deadline
from services.mesh.buckets import bucket_of
from services.mesh.errors import DeadlineExceeded, OutOfRange, ResourceExhausted
from vitrine.v1 import catalog_pb2, common_pb2

Opener = Callable[[], Awaitable[Store]]


def written(
    product_id: str,
    title: str = "",
    *,
    catalog: str = "shop",
    rows: bytes | Mapping[str, bytes] | None = b"v",
    flagged: bool = False,
) -> ProductChange:
    """A product, with rows of the generation g1 unless others are given."""
    product = catalog_pb2.Product(title=title or product_id).SerializeToString()
    given = {"g1": rows} if isinstance(rows, bytes) else rows
    return ProductChange(catalog, product_id, product, given, 1 if given else 0, flagged)


def deleted(product_id: str, *, catalog: str = "shop") -> ProductChange:
    return ProductChange(catalog, product_id, None, None)


def record(catalog: str, *generations: str) -> CatalogRecord:
    """A catalogue of which the first of its generations is active and alone is ready."""
    ids = generations or ("g1",)
    made = tuple(GenerationRecord(common_pb2.Generation(id=each), each == ids[0]) for each in ids)
    return CatalogRecord(catalog, ids[0], made, create_time_ms=5)


async def commit(
    store: Store,
    *changes: ProductChange,
    catalogs: Sequence[CatalogChange] = (),
    outcomes: dict[str, bytes] | None = None,
) -> Entry:
    revision = (await store.bounds()).head + 1
    entry = Entry(revision, 1_000 * revision, changes, tuple(catalogs), outcomes or {})
    await store.append(entry)
    await store.apply(entry)
    return entry


Contents = dict[ProductKey, tuple[int, str, dict[str, bytes]]]


async def contents(store: Store) -> Contents:
    """All products in the projections: revision, title and rows by generation."""
    found: Contents = {}
    after: ProductKey | None = None
    while page := await store.scan(range(1024), after, 3):
        for each in page:
            found[each.catalog, each.product_id] = each.revision, each.message().title, dict(each.rows)
        after = page[-1].catalog, page[-1].product_id
    return found


# Every example opens a store of its own, and every kind of store is a class of its own.
_UNHARMED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]

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


_Step = tuple[str, int, list[ProductChange]]

# What somebody does, which gateway or which entry, and the changes if it is a write.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "catalog", "die", "replay"]),
        st.integers(0, 9),
        st.lists(
            st.builds(
                lambda product_id, kind, generations: {
                    "whole": written(product_id, rows=dict.fromkeys(generations, b"vectors")),
                    "attributes": written(product_id, "new", rows=None),
                    "deleted": deleted(product_id),
                }[kind],
                st.sampled_from(["a", "b", "c"]),
                st.sampled_from(["whole", "whole", "attributes", "deleted"]),
                st.sampled_from([("g1",), ("g2",), ("g1", "g2")]),
            ),
            max_size=3,
            unique_by=lambda change: change.key,
        ),
    ),
    max_size=12,
)


class SlowStore:
    """Tells of no revisions until it may."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def revisions(self, keys: Collection[ProductKey]) -> Mapping[ProductKey, int]:
        found = await self._store.revisions(keys)
        self.asked.set()
        await self.answers.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class OvertakenStore:
    """Before it gives entries for the first time, others write five and keep one of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_overtaken = False

    async def entries(self, after: int) -> Sequence[Entry]:
        if not self.is_overtaken:
            self.is_overtaken = True
            for number in range(5):
                await commit(self._store, written(f"theirs-{number}"))
            await self._store.trim(1)
        return await self._store.entries(after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


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
        assert (found["a"].revision, found["a"].rows, found["a"].message().title) == (
            2,
            {"g1": b"v"},
            "cheaper",
        )
        assert found["a"].message().update_time.seconds == 2
        assert (await store.products("shop", ["a"]))["a"].rows == {}
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
        """Catalogues are found by id as of the entry that made them so, apart from those being deleted."""
        await commit(store, catalogs=[CatalogChange("shop", record("shop")), CatalogChange("art", None)])
        await commit(store, catalogs=[CatalogChange("art", record("art", "g1", "g2"))])
        assert await store.catalog("shop") == record("shop").at(1)
        assert await store.catalog("art") == record("art", "g1", "g2").at(2)
        assert await store.catalogs("", 10) == [record("art", "g1", "g2").at(2), record("shop").at(1)]
        assert [each.catalog for each in await store.catalogs("art", 10)] == ["shop"]
        assert [each.catalog for each in await store.catalogs("", 1)] == ["art"]
        dying = replace(record("shop"), is_deleting=True)
        await commit(store, catalogs=[CatalogChange("shop", dying)])
        assert await store.catalog("shop") == dying.at(3)
        assert [each.catalog for each in await store.catalogs("", 10)] == ["art"]
        assert await store.catalogs("", 10, deleting=True) == [dying.at(3)]
        assert (await store.entries(2))[0].catalogs == (CatalogChange("shop", dying),)
        await commit(store, catalogs=[CatalogChange("shop", None)])
        # Older entries that are applied again change nothing.
        for entry in await store.entries(0):
            await store.apply(entry)
        assert await store.catalog("shop") is None
        assert await store.catalogs("", 10, deleting=True) == []
        assert await store.catalog("art") == record("art", "g1", "g2").at(2)

    async def test_rows_are_kept_by_generation(self, store: Store) -> None:
        """Rows of generations that a write does not name stay, and all of them go with the product."""
        await commit(store, written("a", rows={"g1": b"1", "g2": b"2"}))
        await commit(store, written("a", rows={"g2": b"new", "g3": b"3"}))
        await commit(store, written("b", rows={"g1": b"b"}))
        both = await store.products("shop", ["a", "b"], with_rows=True)
        assert {key: each.rows for key, each in both.items()} == {
            "a": {"g1": b"1", "g2": b"new", "g3": b"3"},
            "b": {"g1": b"b"},
        }
        assert (await store.entries(1))[0].changes == (written("a", rows={"g2": b"new", "g3": b"3"}),)
        await commit(store, deleted("a"))
        await commit(store, written("a", rows={"g2": b"again"}))
        assert (await contents(store))["shop", "a"][2] == {"g2": b"again"}

    async def test_what_a_generation_lacks_is_found(self, store: Store) -> None:
        """Products without rows of a generation come by id in bounded pages, with the rows that they have."""
        await commit(store, *(written(f"p{i}") for i in range(6)), written("x", catalog="other"))
        await commit(store, written("p1", rows={"g2": b"2"}), written("p4", rows={"g2": b"4"}), deleted("p2"))
        found = await store.lacking("shop", "g2", "", 2)
        assert [each.product_id for each in found] == ["p0", "p3"]
        assert [each.rows for each in found] == [{"g1": b"v"}] * 2
        assert [each.product_id for each in await store.lacking("shop", "g2", "p3", 9)] == ["p5"]
        assert await store.lacking("shop", "g1", "", 9) == []
        assert await store.covered("shop", "g1") == 5
        assert await store.covered("shop", "g2") == 2
        assert await store.covered("shop", "g3") == 0

    async def test_flagged_products_are_listed(self, store: Store) -> None:
        """Those with near duplicates are listed alone when asked for, for as long as they are flagged."""
        await commit(store, *(written(f"p{i}", flagged=i % 2 == 0) for i in range(6)))
        await commit(store, written("p0", rows=None), deleted("p2"))
        assert [each.product_id for each in await store.list_products("shop", "", 9, flagged_only=True)] == [
            "p4"
        ]
        assert len(await store.list_products("shop", "", 9)) == 5
        assert await store.list_products("shop", "p4", 9, flagged_only=True) == []

    async def test_old_generations_are_purged(self, store: Store) -> None:
        """Rows of generations that are not kept go bit by bit, and no older entry brings them back."""
        entries = [await commit(store, written(f"p{i}", rows={"g1": b"1", "g2": b"2"})) for i in range(5)]
        shop, other = (CatalogChange(each, record(each, "g2", "g3")) for each in ("shop", "other"))
        await commit(store, written("x", catalog="other"), catalogs=[shop, other])
        assert await store.purge("shop", {"g2", "g3"}, 3, at=6) == 3
        assert await store.purge("shop", {"g2", "g3"}, 3, at=6) == 2
        assert await store.purge("shop", {"g2", "g3"}, 3, at=6) == 0
        await store.apply(entries[0])
        assert await store.covered("shop", "g1") == 0
        assert await store.covered("shop", "g2") == 5
        assert await store.covered("other", "g1") == 1
        await commit(store, catalogs=[CatalogChange("shop", replace(record("shop", "g2"), is_deleting=True))])
        assert await store.purge("shop", (), 100, at=7) == 5
        assert set(await contents(store)) == {("other", "x"), *(("shop", f"p{i}") for i in range(5))}

    async def test_whoever_is_overtaken_purges_nothing(self, store: Store) -> None:
        """Rows are removed as of the newest record alone: not of an older one, nor of one that is gone."""
        await commit(store, written("a"), catalogs=[CatalogChange("shop", record("shop"))])
        grown = CatalogChange("shop", record("shop", "g1", "g2"))
        await commit(store, written("a", rows={"g2": b"2"}), catalogs=[grown])
        assert await store.purge("shop", {"g1"}, 100, at=1) == 0
        assert await store.covered("shop", "g2") == 1
        await commit(store, catalogs=[CatalogChange("shop", record("shop"))])
        assert await store.purge("shop", {"g1"}, 100, at=3) == 1
        assert await store.covered("shop", "g2") == 0
        await commit(store, catalogs=[CatalogChange("shop", None)])
        for revision in (0, 3, 4):
            assert await store.purge("shop", (), 100, at=revision) == 0
        assert await store.covered("shop", "g1") == 1

    async def test_one_holds_a_lease(self, store: Store) -> None:
        """Whoever has a lease keeps it by asking again; others get it when it has run out."""
        assert await store.lease("job", "one", 600)
        assert await store.lease("job", "one", 600)
        assert not await store.lease("job", "two", 600)
        assert await store.lease("other job", "two", 600)
        assert await store.lease("job", "one", 0)
        assert await store.lease("job", "two", 600)
        assert not await store.lease("job", "one", 600)

    async def test_one_of_many_gets_a_lease(self, store: Store) -> None:
        """However many ask at once, one has it."""
        taken = await asyncio.gather(*(store.lease("job", f"holder-{i}", 600) for i in range(10)))
        assert sum(taken) == 1

    async def test_what_has_changed_is_told(self, store: Store) -> None:
        """The last revision of each product that some entries changed, unless they are too many or gone."""
        await commit(store, written("a"), written("b"))
        await commit(store, written("a"), deleted("c"))
        await commit(store, written("d"))
        assert await store.changed(0, 2, 10) == {("shop", "a"): 2, ("shop", "b"): 1, ("shop", "c"): 2}
        assert await store.changed(1, 3, 3) == {("shop", "a"): 2, ("shop", "c"): 2, ("shop", "d"): 3}
        assert await store.changed(3, 3, 3) == {}
        with pytest.raises(OutOfRange):
            await store.changed(0, 3, 3)
        await store.trim(1)
        with pytest.raises(OutOfRange):
            await store.changed(1, 3, 10)

    async def test_what_was_trimmed_is_not_applied_again(self, store: Store) -> None:
        """A gateway that stood still for longer than the log reaches back brings nothing back."""
        first = await commit(
            store, written("a"), written("b"), catalogs=[CatalogChange("shop", record("shop"))]
        )
        await commit(store, deleted("a"), catalogs=[CatalogChange("shop", None)])
        await commit(store)
        await store.trim(1)
        await store.apply(first)
        assert set(await contents(store)) == {("shop", "b")}
        assert await store.catalog("shop") is None
        assert await store.applied() == 3

    @settings(max_examples=10, suppress_health_check=_UNHARMED)
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

    async def test_the_head_is_told_from_the_start(self, store: Store) -> None:
        """A gateway that starts on a catalogue tells its revision before anything is written."""
        await commit(store, written("a"))
        metrics.LOG_HEAD.set(0)
        await ChangeLog(store, keep_entries=100).start()
        assert REGISTRY.get_sample_value("vitrine_gateway_log_head") == 1

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

    async def test_catalogues_are_checked_at_the_head(self, log: ChangeLog, store: Store) -> None:
        """What was prepared for another state of a catalogue is stale, and so is a catalogue that goes."""
        create = Write(catalogs=(CatalogChange("shop", record("shop")),), expected_catalogs={"shop": 0})
        product = Write((written("a"),), expected_catalogs={"shop": 0})
        with pytest.raises(Stale):
            await log.write(product)
        created = await log.write(create)
        with pytest.raises(Stale):
            await log.write(create)
        product = replace(product, expected_catalogs={"shop": created})
        await log.write(product)
        two = CatalogChange("shop", record("shop", "g1", "g2"))
        grown = await log.write(Write(catalogs=(two,), expected_catalogs={"shop": created}))
        assert await store.catalog("shop") == record("shop", "g1", "g2").at(grown)
        with pytest.raises(Stale):
            await log.write(product)
        dying = CatalogChange("shop", replace(record("shop"), is_deleting=True))
        going = await log.write(Write(catalogs=(dying,), expected_catalogs={"shop": grown}))
        with pytest.raises(Stale):
            await log.write(replace(product, expected_catalogs={"shop": going}))
        gone = Write(catalogs=(CatalogChange("shop", None),), expected_catalogs={"shop": going})
        await log.write(gone)
        await log.write(create)

    async def test_a_catalogue_changes_apart_from_its_products(self, log: ChangeLog, store: Store) -> None:
        """Writes that wait together do not share an entry where one changes the catalogue of another."""
        shop, art = (CatalogChange(each, record(each)) for each in ("shop", "art"))
        writes = [
            Write((written("a"),)),
            Write(catalogs=(art,)),
            Write((written("b"),), expected_catalogs={"shop": 0}, request_key="stale"),
            Write(catalogs=(shop,)),
            Write(catalogs=(shop,)),
            Write((written("c"),)),
            Write((written("d", catalog="art"),)),
        ]
        results = await asyncio.gather(*(log.write(write) for write in writes), return_exceptions=True)
        assert isinstance(results.pop(2), Stale)
        assert results == [1, 1, 2, 3, 4, 4]
        assert [
            (len(entry.changes), [change.catalog for change in entry.catalogs])
            for entry in await store.entries(0)
        ] == [(1, ["art"]), (0, ["shop"]), (0, ["shop"]), (2, [])]

    async def test_a_write_without_changes_keeps_its_outcome(self, log: ChangeLog, store: Store) -> None:
        """It is an entry when what it has seen is at the head, and is answered again by its key."""
        key = ("shop", "a")
        first = await log.write(Write((written("a"),), {key: 0}))
        unchanged = Write(expected={key: first}, request_key="key", outcome=lambda at: str(at).encode())
        assert await log.write(unchanged) == 2
        assert await store.outcome("key") == b"2"
        (entry,) = await store.entries(1)
        assert (entry.changes, entry.catalogs) == ((), ())
        assert (await contents(store))[key][0] == first
        with pytest.raises(Replay):
            await log.write(unchanged)
        await log.write(Write((written("a", "new"),), {key: first}))
        with pytest.raises(Replay):
            await log.write(unchanged)
        with pytest.raises(Stale):
            await log.write(replace(unchanged, request_key="other"))
        assert await store.outcome("other") is None

    async def test_what_a_write_has_seen_does_not_change_beside_it(self, log: ChangeLog) -> None:
        """Writes that wait together do not share an entry where one has seen what another changes."""
        key = ("shop", "a")
        first = await log.write(Write((written("a"),), {key: 0}))

        def unchanged(request_key: str) -> Write:
            return Write(expected={key: first}, request_key=request_key)

        writes = [
            unchanged("one"),
            unchanged("two"),
            Write((written("b"),), {("shop", "b"): 0}),
            Write((written("a", "new"),), {key: first}),
            unchanged("three"),
            Write((written("c"),), {("shop", "c"): 0}),
        ]
        results = await asyncio.gather(*(log.write(write) for write in writes), return_exceptions=True)
        assert isinstance(results.pop(4), Stale)
        assert results == [2, 2, 2, 3, 4]

    async def test_what_others_write_meanwhile_is_looked_at(self, store: Store) -> None:
        """An entry never goes behind one that came after its preconditions were looked at."""
        slow = SlowStore(store)
        log = ChangeLog(cast(Store, slow), keep_entries=100)
        key = ("shop", "a")
        async with log.running(lambda: None):
            writing = asyncio.create_task(log.write(Write((written("a", "ours"),), {key: 0})))
            await asyncio.wait_for(slow.asked.wait(), 60)
            await commit(store, written("a", "theirs"))
            # As a feed does in the meantime.
            assert await log.wait_past(0, 1e-3) == 1
            slow.answers.set()
            with pytest.raises(Stale):
                await writing
        assert (await contents(store))[key][:2] == (1, "theirs")

    async def test_a_request_key_is_written_once(self, log: ChangeLog) -> None:
        """A second write of a request key gets the outcome of the first, also when both wait together."""
        writes = [
            Write((written("a"),), request_key="key", outcome=lambda at: str(at).encode()) for _ in range(3)
        ]
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

    async def test_a_lagging_writer_catches_up_beyond_a_trimmed_log(self, store: Store) -> None:
        """A gateway that has not looked for longer than the log reaches back writes on at the head."""
        log = ChangeLog(store, keep_entries=1_000)
        await log.start()
        for index in range(5):
            await commit(store, written(f"p{index}"))
        await store.trim(1)
        async with log.running(lambda: None):
            assert await asyncio.wait_for(log.write(Write((written("a"),))), 60) == 6
        assert len(await contents(store)) == 6

    async def test_a_writer_survives_being_overtaken(self, store: Store) -> None:
        """A log that others wrote on and trimmed between two looks at it ends no gateway."""
        overtaken = OvertakenStore(store)
        log = ChangeLog(cast(Store, overtaken), keep_entries=1_000)
        await commit(store, written("a"))
        await asyncio.wait_for(log.start(), 60)
        assert (overtaken.is_overtaken, log.head) == (True, 6)
        overtaken.is_overtaken = False
        async with log.running(lambda: None):
            await commit(store, written("b"))
            assert await asyncio.wait_for(log.write(Write((written("c"),))), 60) == 13

    async def test_a_log_that_is_too_short_is_told(self, store: Store) -> None:
        """Projections that are beyond the log, as none should be, are an error and no endless search."""

        async def applied() -> int:
            return 5

        await commit(store, written("a"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "applied", applied)
            with pytest.raises(OutOfRange):
                await asyncio.wait_for(ChangeLog(store, keep_entries=1_000).start(), 60)

    async def test_a_dead_writers_tail_is_finished_while_somebody_follows(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gateway with a feed applies what another one has appended and not applied for a while."""
        monkeypatch.setattr("services.gateway.store.log.GRACE_S", 0.01)
        log = ChangeLog(store, keep_entries=100, poll_s=0.001)
        await log.start()
        async with log.running(lambda: None):
            with log.followed():
                await store.append(Entry(1, 1, (written("a"),)))
                await store.append(Entry(2, 1, (written("b"),)))
                async with asyncio.timeout(60):
                    while await log.wait_past(1, 60) < 2:
                        pass
        assert set(await contents(store)) == {("shop", "a"), ("shop", "b")}
        assert await store.applied() == 2

    async def test_a_living_writer_is_left_its_moment(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was just appended is left to whoever has appended it."""
        monkeypatch.setattr("services.gateway.store.log.GRACE_S", 3_600)
        log = ChangeLog(store, keep_entries=100)
        await store.append(Entry(1, 1, (written("a"),)))
        for _ in range(3):
            await log.catch_up()
        assert (log.head, await store.applied()) == (0, 0)
        await store.apply((await store.entries(0))[0])
        await log.catch_up()
        assert log.head == 1

    @settings(max_examples=10, suppress_health_check=_UNHARMED)
    @given(steps=_STEPS)
    def test_two_gateways_and_old_entries_end_in_one_truth(self, opener: Opener, steps: list[_Step]) -> None:
        """Whoever writes, dies before applying, or applies again: projections are those of the log."""

        async def run() -> None:
            store = await opener()
            logs = [ChangeLog(store, keep_entries=1_000) for _ in range(2)]
            async with AsyncExitStack() as stack:
                for log in logs:
                    await stack.enter_async_context(log.running(lambda: None))
                for step in steps:
                    await _take(store, logs, step)
                # Whoever comes next finishes what is left.
                head = await logs[0].write(Write())
            entries = await _all_entries(store)
            assert [entry.revision for entry in entries] == list(range(1, head + 1))
            expected = _replayed(entries)
            assert await contents(store) == expected
            for generation in ("g1", "g2"):
                covered = sum(generation in rows for _, _, rows in expected.values())
                assert await store.covered("shop", generation) == covered
            records = {
                change.catalog: change.record and change.record.at(entry.revision)
                for entry in entries
                for change in entry.catalogs
            }
            assert await store.catalog("shop") == records.get("shop")
            await store.close()

        asyncio.run(run())

    async def test_followers_are_woken(self, log: ChangeLog) -> None:
        """Whoever waits for news gets it with the write, and after the time given otherwise."""
        waiting = asyncio.create_task(log.wait_past(0, 60))
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


async def _all_entries(store: Store) -> list[Entry]:
    found: list[Entry] = []
    while entries := await store.entries(len(found)):
        found += entries
    return found


async def _take(store: Store, logs: Sequence[ChangeLog], step: _Step) -> None:
    """Let one of two gateways write or change a catalogue, or die in the middle, or apply an entry again."""
    kind, number, changes = step
    head = (await store.bounds()).head
    if kind == "write":
        await logs[number % 2].write(Write(tuple(changes)))
    elif kind == "catalog":
        made = (None, record("shop"), record("shop", "g1", "g2"))[number % 3]
        await logs[number % 2].write(Write(catalogs=(CatalogChange("shop", made),)))
    elif kind == "die":
        await store.append(Entry(head + 1, 1, tuple(changes)))
    elif number < await store.applied():
        (entry, *_) = await store.entries(number, max_entries=1)
        await store.apply(entry)


def _replayed(entries: list[Entry]) -> Contents:
    """The projections by the simplest means."""
    found: Contents = {}
    for entry in entries:
        for change in entry.changes:
            rows = found.get(change.key, (0, "", {}))[2] | dict(change.rows or {})
            if change.product is None:
                found.pop(change.key, None)
            else:
                title = catalog_pb2.Product.FromString(change.product).title
                found[change.key] = entry.revision, title, rows
    return found
