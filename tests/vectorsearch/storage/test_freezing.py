from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.columns import Facts, Value
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.search import Query, search
from services.vectorsearch.shard import FrozenShard, Shard
from services.vectorsearch.storage import freezing
from services.vectorsearch.views import view_of
from tests.vectorsearch.products import query, written
from tests.vectorsearch.storage.frames import SEGMENT_ROWS, follow, frames, state_of


def through_arrays(frozen: FrozenShard) -> FrozenShard:
    """What is read from a file is read-only, so these arrays are too."""
    catalogs = []
    for catalog, generation, rows in frozen.catalogs:
        segments = []
        for segment in rows.segments:
            arrays = {name: array.copy() for name, array in freezing.arrays_of_segment(segment).items()}
            for array in arrays.values():
                array.setflags(write=False)
            segments.append(
                freezing.segment_of(
                    arrays,
                    segment.alive,
                    first_row=segment.segment.first_row,
                    capacity=segment.segment.capacity,
                )
            )
        meta, state = freezing.arrays_of_rows(rows)
        for array in state.values():
            array.setflags(write=False)
        catalogs.append((catalog, generation, freezing.rows_of(meta, state, segments)))
    return FrozenShard(frozen.revision, catalogs)


def thawed(frozen: FrozenShard) -> Shard:
    shard = Shard(segment_rows=SEGMENT_ROWS)
    shard.thaw(through_arrays(frozen))
    return shard


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 20))
def test_a_shard_comes_back_as_it_was_and_goes_on_like_the_other(seed: int, count: int) -> None:
    """Products, photos, facts and revision are the same, and stay so when the same changes come to both."""
    shard = Shard(segment_rows=SEGMENT_ROWS)
    made = frames(count + 10, seed=seed)
    for frame in made[:count]:
        follow(shard, frame)
    other = thawed(shard.freeze())
    assert state_of(other) == state_of(shard)
    for frame in made[count:]:
        follow(shard, frame)
        follow(other, frame)
    assert state_of(other) == state_of(shard)


def test_later_changes_do_not_touch_what_was_frozen() -> None:
    """A snapshot is of the moment it was frozen in, whatever is written until it is stored."""
    made = frames(30)
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for frame in made[:10]:
        follow(shard, frame)
    frozen, before = shard.freeze(), state_of(shard)
    for frame in made[10:]:
        follow(shard, frame)
    assert state_of(shard) != before
    assert state_of(thawed(frozen)) == before


def test_a_thawed_shard_answers_like_the_other() -> None:
    """The same products are found with the same cosines, to the bit."""
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for frame in frames(30):
        follow(shard, frame)

    def answer(of: Shard) -> list[tuple[str, str, list[bytes]]]:
        rows = of.rows("shop", "g1")
        assert rows is not None
        (found,) = search(
            view_of(rows, ["clip", "resnet50"]), [Query([query("clip", 5), query("resnet50", 2)], 40)]
        )
        cosines = [column.tobytes() for column in found.cosines]
        return [(*ids, cosines) for ids in zip(found.product_ids, found.photo_ids, strict=True)]

    assert answer(thawed(shard.freeze())) == answer(shard)


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)


@settings(deadline=None)
@given(
    products=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6), st.lists(VALUES, max_size=3), max_size=8
    )
)
def test_any_text_and_value_comes_back(products: dict[str, list[Value]]) -> None:
    """Ids of any characters and values of any type are the same after storing, nothing taken for another."""
    rows = CatalogRows(segment_rows=SEGMENT_ROWS)
    for revision, (product_id, values) in enumerate(products.items()):
        rows.write(product_id, revision, (), Facts({"any": values}))
    # A value that nobody has any more leaves a hole.
    rows.write("gone", 1, (), Facts({"any": ["of nobody else"]}))
    rows.delete("gone")
    shard = Shard()
    shard._catalogs["shop"] = {"g1": rows}
    assert state_of(thawed(shard.freeze())) == state_of(shard)


def test_a_growing_segment_can_be_written_to_and_a_full_one_is_used_as_stored() -> None:
    """What is appended after thawing goes to memory of its own; sealed matrices are not copied."""
    shard = Shard(segment_rows=SEGMENT_ROWS)
    for frame in frames(20):
        follow(shard, frame)
    other = thawed(shard.freeze())
    rows = other.rows("shop", "g1")
    assert rows is not None
    assert {segment.full for segment in rows.segments} == {True, False}
    for segment in rows.segments:
        for matrix in segment.matrices.values():
            assert matrix.flags.writeable != segment.full
            assert len(matrix) == SEGMENT_ROWS
    other.apply([written("new", 10_000)])
    assert "new" in rows.products
