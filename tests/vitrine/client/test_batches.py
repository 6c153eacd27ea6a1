from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vitrine.client.batches import batched


@given(st.lists(st.integers(0, 12)), st.integers(1, 5), st.integers(1, 10))
def test_nothing_is_lost_and_limits_hold(weights: list[int], max_items: int, max_weight: int) -> None:
    """Items stay in order, no batch is empty or too large, and what alone is too heavy goes alone."""
    cut = list(batched(weights, max_items=max_items, weight=lambda item: item, max_weight=max_weight))
    assert [item for batch in cut for item in batch] == weights
    assert all(1 <= len(batch) <= max_items for batch in cut)
    assert all(sum(batch) <= max_weight or len(batch) == 1 for batch in cut)
