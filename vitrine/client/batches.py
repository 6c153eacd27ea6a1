"""Cutting what is written into calls of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batched(
    items: Iterable[Item], *, max_items: int, weight: Callable[[Item], int], max_weight: int
) -> Iterator[list[Item]]:
    """Consecutive items, `max_items` and `max_weight` at most; one that weighs more than that goes alone."""
    batch: list[Item] = []
    total = 0
    for item in items:
        more = weight(item)
        if batch and (len(batch) == max_items or total + more > max_weight):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += more
    if batch:
        yield batch
