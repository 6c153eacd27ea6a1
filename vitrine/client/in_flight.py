"""Calls under way that write, no two of them the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Call = TypeVar("Call")


class InFlight(Generic[Call]):
    """At most `most` calls, oldest first, and the names of what each of them writes.

    Two calls that write the same product could end in either order, and the older version could stay. So a
    call is added only once it has `room`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: list[tuple[Call, frozenset[str]]] = []

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return (call for call, _ in self._calls)

    def has_room(self, names: Iterable[str] = ()) -> bool:
        """Whether one more may begin, that writes `names`."""
        wanted = frozenset(names)
        return len(self._calls) < self._most and all(wanted.isdisjoint(held) for _, held in self._calls)

    def add(self, call: Call, names: Iterable[str]) -> None:
        """A call has begun."""
        self._calls.append((call, frozenset(names)))

    def remove(self, *ended: Call) -> None:
        """Calls have ended."""
        self._calls = [pair for pair in self._calls if pair[0] not in ended]

    def pop_oldest(self) -> Call:
        """The call that began first, taken out; whoever takes it waits for its end."""
        return self._calls.pop(0)[0]
