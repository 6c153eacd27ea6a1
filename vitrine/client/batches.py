"""Cutting what is written into calls of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Cutter(Generic[Item]):
    """Collects consecutive items, `max_items` and `max_weight` at most; one that weighs more goes alone."""

    def __init__(self, *, max_items: int, weight: Callable[[Item], int], max_weight: int) -> None:
        self._max_items = max_items
        self._weight = weight
        self._max_weight = max_weight
        self._batch: list[Item] = []
        self._total = 0

    def add(self, item: Item) -> list[Item]:
        """Collect `item`; the batch before it where it does not fit into that any more, else nothing."""
        more = self._weight(item)
        is_full = len(self._batch) == self._max_items or self._total + more > self._max_weight
        complete = self.rest() if is_full else []
        self._batch.append(item)
        self._total += more
        return complete

    def rest(self) -> list[Item]:
        """What was collected since the last batch."""
        batch, self._batch, self._total = self._batch, [], 0
        return batch

    def cut(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """The batches of all items."""
        for item in items:
            if batch := self.add(item):
                yield batch
        if batch := self.rest():
            yield batch


def batched(
    items: Iterable[Item], *, max_items: int, weight: Callable[[Item], int], max_weight: int
) -> Iterator[list[Item]]:
    """Consecutive items, `max_items` and `max_weight` at most; one that weighs more than that goes alone."""
    return Cutter(max_items=max_items, weight=weight, max_weight=max_weight).cut(items)
