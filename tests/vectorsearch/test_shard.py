from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np

from services.vectorsearch.changes import Deleted, Described, Embedding, Photo, Retained
from services.vectorsearch.columns import MAX_COLUMNS, Column, Columns, Facts
from services.vectorsearch.lock import SharedLock
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Query, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from tests.vectorsearch.products import DIMENSIONS, photo, query, simple, written


def rows_of(shard: Shard) -> CatalogRows:
    rows = shard.rows("shop", "g1")
    assert rows is not None
    return rows


def test_replays_do_nothing() -> None:
    """A change older than what is held is passed over, and the revision never goes back."""
    shard = Shard()
    shard.apply([simple(1, 5, colour=["red"])], revision=5)
    shard.apply(
        [simple(1, 3, colour=["blue"]), Described("shop", "p1", 4, Facts()), Deleted("shop", "p1", 2)],
        revision=4,
    )
    assert shard.revision == 5
    assert rows_of(shard).products["p1"].revision == 5
    assert rows_of(shard).columns.labels("colour", np.array([1])).values == ["red"]


def test_a_description_replaces_what_is_known_and_keeps_the_photos() -> None:
    """A change of attributes alone needs no vectors; one of a product that is not held does nothing."""
    shard = Shard()
    shard.apply([simple(1, 1, colour=["red"], price=[5.0])])
    new = Facts({"colour": ["blue"]})
    shard.apply([Described("shop", "p1", 2, new), Described("shop", "p2", 3, new)])
    rows = rows_of(shard)
    assert rows.row_count == 1
    assert rows.products["p1"].revision == 2
    assert list(rows.products) == ["p1"]
    assert rows.columns.labels("colour", np.array([1])).values == ["blue"]
    assert rows.columns.labels("price", np.array([1])).codes.tolist() == [-1]


def test_a_scan_drops_what_it_did_not_show() -> None:
    """Products not in the scan vanish unless they were written after it."""
    shard = Shard()
    shard.apply([simple(1, 1), simple(2, 2), simple(3, 9)], revision=2)
    shard.retain({("shop", "g1", "p1")}, revision=5)
    assert sorted(rows_of(shard).products) == ["p1", "p3"]
    assert shard.revision == 5


def test_a_scan_of_a_new_log_replaces_everything() -> None:
    """When the log was set up anew, older revisions count and what it does not have vanishes."""
    shard = Shard()
    shard.apply([simple(1, 50), simple(2, 51)], revision=51)
    shard.apply([simple(1, 2, colour=["new"])], anew=True)
    shard.retain({("shop", "g1", "p1")}, revision=3, anew=True)
    assert list(rows_of(shard).products) == ["p1"]
    assert rows_of(shard).products["p1"].revision == 2
    assert shard.revision == 3


def test_writes_many_times_over_take_no_more_room() -> None:
    """Rows without a product are compacted away, and every product is found throughout."""
    shard = Shard(segment_rows=32)
    for revision in range(1, 2_000):
        shard.apply([simple(revision % 40, revision)], revision=revision)
    rows = rows_of(shard)
    assert rows.row_count == 40
    assert sum(segment.size for segment in rows.segments) <= 2 * 40 + 32
    (found,) = search(view_of(rows, ["clip"]), [Query([query("clip", 7)], 100)])
    assert len(found.product_ids) == 40
    assert found.product_ids[0] == "p7"


def test_a_product_as_large_as_a_segment_is_not_moved_for_ever() -> None:
    """Compaction ends although moving the product makes the next segment sparse in turn."""
    shard = Shard(segment_rows=3)
    photos = [photo(f"photo{number}", dict.fromkeys(DIMENSIONS, number)) for number in range(5)]
    shard.apply([written("a", 1, *photos[:2]), written("b", 2, *photos[2:])])
    shard.apply([Deleted("shop", "a", 3)])
    rows = rows_of(shard)
    assert rows.row_count == 3
    (found,) = search(view_of(rows, ["clip"]), [Query([query("clip", 4)], 5)])
    assert found.product_ids == ["b"]


def test_generations_lie_side_by_side() -> None:
    """A product written in a new generation stays in the old one; deleting it deletes both."""
    shard = Shard()
    old = simple(1, 1)
    shard.apply([old, type(old)("shop", "p1", 2, "g2", old.photos, old.facts)])
    other = shard.rows("shop", "g2")
    assert other is not None
    assert (len(rows_of(shard).products), len(other.products)) == (1, 1)
    assert shard.holds_other_generation("shop", "g3")
    assert [(size.generation, size.products, size.rows) for size in shard.sizes()] == [
        ("g1", 1, 1),
        ("g2", 1, 1),
    ]
    shard.apply([Deleted("shop", "p1", 3)])
    assert not rows_of(shard).products
    assert not other.products


def test_what_is_known_holds_in_all_generations() -> None:
    """A product that is written for one generation alone is described anew in the others, once."""
    shard = Shard()
    first = simple(1, 1, colour=["red"])
    second = replace(simple(1, 2, colour=["blue"]), generation="g2")
    for changes in ([first, second], [first]):
        shard.apply(changes)
        product = rows_of(shard).products["p1"]
        assert (product.revision, len(product.rows)) == (2, 1)
        assert rows_of(shard).columns.labels("colour", np.array([product.slot])).values == ["blue"]


def test_generations_that_a_catalogue_has_no_more_are_let_go() -> None:
    """Their rows are freed, other catalogues stay, and done again nothing changes."""
    shard = Shard()
    old, art = simple(1, 1), replace(simple(1, 1), catalog="art")
    shard.apply([old, replace(old, generation="g2"), art])
    dropped = weakref.ref(rows_of(shard))
    for _ in range(2):
        shard.apply([Retained("shop", 2, frozenset({"g2", "g3"}))], revision=2)
        assert [(size.catalog, size.generation) for size in shard.sizes()] == [("art", "g1"), ("shop", "g2")]
    gc.collect()
    assert dropped() is None
    shard.apply([Retained("shop", 3, frozenset())], revision=3)
    assert [size.catalog for size in shard.sizes()] == ["art"]
    # Created anew, with whatever models there are then.
    other = Photo("front", {"clip": Embedding("another-model", np.ones(3, np.float32))})
    assert not shard.apply([written("p1", 4, other)], revision=4)
    assert rows_of(shard).row_count == 1


def test_a_scan_lets_go_of_what_there_is_no_more() -> None:
    """A generation or catalogue of which a scan shows nothing is gone after it."""
    shard = Shard()
    shard.apply([simple(1, 1), replace(simple(1, 1), generation="g2"), replace(simple(1, 1), catalog="art")])
    shard.retain({("shop", "g2", "p1")}, revision=5)
    assert [(size.catalog, size.generation) for size in shard.sizes()] == [("shop", "g2")]


def test_searches_see_one_state_while_changes_are_applied() -> None:
    """However many changes wait, nothing changes within one reading, and a view holds every product once."""
    shard = Shard(segment_rows=64)
    shard.apply([simple(number, 1, batch=["0"]) for number in range(30)], revision=1)
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with shard.reading():
                rows = rows_of(shard)
                revision, slots = shard.revision, np.arange(len(rows.product_ids))
                first = rows.columns.labels("batch", slots)
                second = rows.columns.labels("batch", slots)
                view = view_of(rows, ["clip"])
                same = first.values == second.values and (first.codes == second.codes).all()
                if not same or revision != shard.revision:
                    failures.append(f"{first} became {second}")
                if min(float(value) for value in first.values) < revision - 1:
                    failures.append(f"{first.values} at {revision}")
            (found,) = search(view, [Query([query("clip", 1)], 40)])
            if len(found.product_ids) != 30:
                failures.append(f"{len(found.product_ids)} products")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for revision in range(2, 60):
        shard.apply([simple(n, revision, batch=[str(revision - 1)]) for n in range(30)], revision=revision)
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures


def test_compaction_on_demand_leaves_no_dead_row_in_a_full_segment() -> None:
    """What stays below the share that is compacted by itself goes too, and nothing is lost."""
    shard = Shard(segment_rows=16)
    shard.apply([simple(number, 1) for number in range(60)])
    shard.apply([Deleted("shop", f"p{number}", 2) for number in (3, 20, 40)])
    assert rows_of(shard).dead_rows == 3
    compacted = shard.compact()
    assert (compacted.segments, compacted.rows) == (3, 45)
    rows = rows_of(shard)
    assert rows.dead_rows == 0
    assert rows.row_count == 57
    (found,) = search(view_of(rows, ["clip"]), [Query([query("clip", 7)], 100)])
    assert len(found.product_ids) == 57


def test_memory_stays_within_twice_and_a_fifth_of_the_live_vectors() -> None:
    """A catalogue that is rewritten again and again, compaction included, never takes more than 2.2 times."""
    shard = Shard(segment_rows=256)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(4096, 256)).astype(np.float32) / 16
    worst = 0.0
    for revision in range(1, 180):
        numbers = rng.integers(0, 4096, 64) if revision > 64 else range(64 * (revision - 1), 64 * revision)
        changes = [
            written(f"p{number}", revision, Photo("front", {"wide": Embedding("model", vectors[number])}))
            for number in numbers
        ]
        shard.apply(changes, revision=revision)
        rows = rows_of(shard)
        if revision > 64:
            worst = max(worst, rows.memory_bytes / rows.live_bytes)
    assert worst <= 2.2


def test_neither_side_keeps_the_other_out() -> None:
    """A writer gets in between readers that never pause, and readers between writes that never pause."""
    lock = SharedLock()
    stop = threading.Event()
    turns = {"read": 0, "write": 0}

    def read() -> None:
        while not stop.is_set():
            with lock.shared():
                time.sleep(0.001)
                turns["read"] += 1

    def write() -> None:
        while not stop.is_set():
            with lock.exclusive():
                turns["write"] += 1

    threads = [threading.Thread(target=work) for work in (read, read, read, write)]
    for thread in threads:
        thread.start()
    give_up_s = time.monotonic() + 60
    while min(turns.values()) <= 30 and time.monotonic() < give_up_s:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert min(turns.values()) > 30


def test_codes_of_values_that_nobody_has_are_used_again() -> None:
    """A price that changes for ever does not grow its column."""
    column = Column()
    for price in range(1_000):
        column.put(3, [float(price)])
    assert len(column.freeze()[0]) <= 2
    assert column.between(999, 999, 5).tolist() == [False, False, False, True, False]


def test_attributes_beyond_the_limit_are_not_known() -> None:
    """A catalogue has a limited number of columns; those beyond are as attributes that nobody has."""
    columns = Columns()
    columns.put(1, Facts({f"a{number}": ["x"] for number in range(MAX_COLUMNS + 1)}))
    assert columns.get(f"a{MAX_COLUMNS - 1}") is not None
    assert columns.get(f"a{MAX_COLUMNS}") is None
