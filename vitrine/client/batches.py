"""Cutting what is written into calls of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Cutter(Generic[Item]):
    """Collects consecutive items, `max_items` and `max_weight` at most; one that weighs more goes alone.

    Of items with the same `key` the second begins the next batch: a call takes a product once.
    """

    def __init__(
        self,
        *,
        key: Callable[[Item], Hashable],
        max_items: int,
        weight: Callable[[Item], int],
        max_weight: int,
    ) -> None:
        self._key = key
        self._max_items = max_items
        self._weight = weight
        self._max_weight = max_weight
        self._batch: list[Item] = []
        self._keys: set[Hashable] = set()
        self._total = 0

    def add(self, item: Item) -> list[Item]:
        """Collect `item`; the batch before it where it does not fit into that any more, else nothing."""
        key, more = self._key(item), self._weight(item)
        is_full = len(self._batch) == self._max_items or self._total + more > self._max_weight
        complete = self.rest() if is_full or key in self._keys else []
        self._batch.append(item)
        self._keys.add(key)
        self._total += more
        return complete

    def rest(self) -> list[Item]:
        """What was collected since the last batch."""
        batch, self._batch, self._keys, self._total = self._batch, [], set(), 0
        return batch

    def cut(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """The batches of all items."""
        for item in items:
            if batch := self.add(item):
                yield batch
        if batch := self.rest():
            yield batch
