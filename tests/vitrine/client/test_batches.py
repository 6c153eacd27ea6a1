from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vitrine.client.batches import Cutter

_ITEMS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 12)))


@given(_ITEMS, st.integers(1, 5), st.integers(1, 10))
def test_nothing_is_lost_and_limits_hold(
    items: list[tuple[str, int]], max_items: int, max_weight: int
) -> None:
    """Items stay in order, no batch is empty or too large, and what alone is too heavy goes alone."""
    cut = _cut(items, max_items, max_weight)
    assert [item for batch in cut for item in batch] == items
    assert all(1 <= len(batch) <= max_items for batch in cut)
    assert all(sum(weight for _, weight in batch) <= max_weight or len(batch) == 1 for batch in cut)


@given(_ITEMS)
def test_no_batch_has_the_same_item_twice(items: list[tuple[str, int]]) -> None:
    """A batch ends before an item that it has already, and for no other reason while there is room."""
    cut = _cut(items, len(items) + 1, 12 * len(items) + 1)
    keys = [[key for key, _ in batch] for batch in cut]
    assert all(len(batch) == len(set(batch)) for batch in keys)
    assert all(after[0] in batch for batch, after in pairwise(keys))


def _cut(items: list[tuple[str, int]], max_items: int, max_weight: int) -> list[list[tuple[str, int]]]:
    cutter = Cutter[tuple[str, int]](
        key=lambda item: item[0], max_items=max_items, weight=lambda item: item[1], max_weight=max_weight
    )
    return list(cutter.cut(items))
