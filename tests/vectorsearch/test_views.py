from __future__ import annotations

import numpy as np
import pytest

from services.vectorsearch.changes import Deleted
from services.vectorsearch.columns import Mask
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Cap, Query, search
from services.vectorsearch.shard import Shard
from services.vectorsearch.views import view_of
from tests.vectorsearch.products import DIMENSIONS, photo, query, simple, written

NOBODY: Mask = np.zeros(1, dtype=np.bool_)


def rows_of(shard: Shard) -> CatalogRows:
    return shard.rows("shop", "g1") or CatalogRows()


def filled(products: int, *, segment_rows: int = 8) -> Shard:
    shard = Shard(segment_rows=segment_rows)
    shard.apply([simple(number, number + 1) for number in range(products)])
    return shard


@pytest.mark.parametrize(
    "asked",
    [
        Query([query("clip", 1)], 10),
        Query([query("clip", 1)], 10, passing=NOBODY),
        Query([query("clip", 1), query("triplet", 1)], 1000, approximately=True),
        Query([query("clip", 1)], 10, min_score=-2.0, cap=Cap(np.array([-1], dtype=np.int32), 1, 0)),
    ],
)
@pytest.mark.parametrize("deleted", [0, 20])
def test_nothing_is_found_where_there_is_nothing(asked: Query, deleted: int) -> None:
    """In a catalogue that never had a product, or has lost all, every search is answered and is empty."""
    shard = filled(deleted)
    shard.apply([Deleted("shop", f"p{number}", 100) for number in range(deleted)])
    view = view_of(rows_of(shard), [each.space for each in asked.spaces])
    assert (list(view.parts), view.rows, view.live) == ([], 0, 0)
    (found,) = search(view, [asked])
    assert (found.plan, found.rows_passed, found.product_ids, found.photo_ids) == ("empty", 0, [], [])
    assert found.cosines.shape == (len(asked.spaces), 0)
    assert found.slots.shape == (0,)


def test_a_search_without_rows_is_empty_beside_one_that_finds() -> None:
    """In a batch, a filter that nobody passes takes nothing from the others."""
    view = view_of(rows_of(filled(20)), ["clip"])
    nobody: Mask = np.zeros(21, dtype=np.bool_)
    none, all_of_them = search(
        view, [Query([query("clip", 3)], 30, passing=nobody), Query([query("clip", 3)], 30)]
    )
    assert (none.plan, none.product_ids) == ("empty", [])
    assert (all_of_them.plan, len(all_of_them.product_ids)) == ("flat", 20)
    assert all_of_them.product_ids[0] == "p3"


def test_parts_are_the_segments_that_have_living_rows() -> None:
    """A segment without any is left out; one that is whole needs no mask of the living."""
    shard = Shard(segment_rows=8)
    shard.apply([simple(number, number + 1) for number in range(20)])
    # Deleted without the compaction that follows.
    rows = rows_of(shard)
    for number in (*range(8), 9):
        rows.delete(f"p{number}")
    view = view_of(rows, ["clip"])
    assert [(part.first_row, part.size, part.live) for part in view.parts] == [(8, 8, 7), (16, 4, 4)]
    assert (view.rows, view.live) == (12, 11)
    partly, whole = view.parts
    assert partly.alive is not None
    assert partly.alive.tolist() == [True, False, True, True, True, True, True, True]
    assert whole.alive is None


def test_what_passes_is_alive_and_has_a_slot_that_passes() -> None:
    """Rows that died do not pass whatever the slots say; where all pass there is no mask."""
    rows = rows_of(filled(16))
    rows.delete("p2")
    first, second = view_of(rows, ["clip"]).parts
    everyone: Mask = np.ones(17, dtype=np.bool_)
    even: Mask = np.arange(17) % 2 == 1
    alive = first.passing(None)
    assert alive is not None
    assert alive.tolist() == [number != 2 for number in range(8)]
    passing = first.passing(even)
    assert passing is not None
    assert np.flatnonzero(passing).tolist() == [0, 4, 6]
    assert even[3]
    assert second.passing(None) is second.passing(everyone) is None
    for part, mask in ((first, first.passing(everyone)), (second, second.passing(~everyone))):
        assert mask is not None
        assert np.count_nonzero(mask) == (part.live if part is first else 0)


def test_a_part_has_the_spaces_that_are_asked_for_and_that_it_has() -> None:
    """Others are not there; where all rows have a vector there is no mask of those that do."""
    shard = Shard(segment_rows=2)
    both = {"clip": 1, "triplet": 2}
    shard.apply(
        [
            written("a", 1, photo("front", both), photo("back", both)),
            written("b", 2, photo("front", both), photo("back", {"clip": 3})),
            written("c", 3, photo("front", {"clip": 4})),
        ]
    )
    view = view_of(rows_of(shard), ["triplet", "resnet50"])
    assert [sorted(part.matrices) for part in view.parts] == [["triplet"], ["triplet"], []]
    assert [sorted(part.packs) for part in view.parts] == [["triplet"], ["triplet"], []]
    whole, partly, _ = view.parts
    assert whole.present["triplet"] is None
    assert partly.present["triplet"] is not None
    assert partly.present["triplet"].tolist() == [True, False]
    assert view.most_photos == 2
    (found,) = search(view, [Query([query("resnet50", 1, neutral=0.25)], 10)])
    assert found.product_ids == ["a", "b", "c"]
    assert np.isnan(found.cosines).all()


@pytest.mark.parametrize("products", [1, 63, 64, 65, 511, 512, 600, 1100])
def test_packs_cover_every_row_once(products: int) -> None:
    """However a segment grew, first passes read all of its rows, packed or not."""
    shard = Shard(segment_rows=1024)
    for start in range(0, products, 50):
        shard.apply([simple(number, number + 1) for number in range(start, min(start + 50, products))])
    view = view_of(rows_of(shard), list(DIMENSIONS))
    assert view.rows == products
    for part in view.parts:
        for packs in part.packs.values():
            assert sum(pack.rows for pack in packs) == part.size


def test_a_view_does_not_see_what_comes_or_dies() -> None:
    """Its rows and its living are those of the moment when it was taken."""
    shard = filled(12)
    rows = rows_of(shard)
    rows.delete("p10")
    view = view_of(rows, ["clip"])
    last = view.parts[-1]
    before = last.passing(None)
    assert before is not None
    before = before.copy()
    rows.delete("p11")
    shard.apply([simple(number, 100 + number) for number in range(20, 24)])
    after = last.passing(None)
    assert after is not None
    assert (view.rows, view.live, last.size) == (12, 11, 4)
    assert after.tolist() == before.tolist() == [True, True, False, True]
