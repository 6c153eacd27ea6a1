"""How long batches take, learned from those that were run."""

from __future__ import annotations

import bisect
from collections.abc import Hashable
from dataclasses import dataclass

# Weight of the newest value in the running mean, that of TCP's timer (RFC 6298).
_NEWEST = 1 / 8
# A value beyond this many times the mean is taken for so many: a machine that stood still for once says
# little of the next batch, and one that has become slow is believed after a few.
_MOST = 4.0
# Nothing is taken to be shorter for that, lest a first value of nothing stay for ever.
_SHORT_S = 1e-3
_MAX_KINDS = 256


@dataclass(slots=True)
class _Kind:
    mean_s: dict[int, float]
    sizes: list[int]


class Durations:
    """Expected seconds of a batch by its kind and number of items. For any thread."""

    def __init__(self, first_guess_s: float) -> None:
        """`first_guess_s` is taken for each item until a first batch was run."""
        self._first_guess_s = first_guess_s
        self._kinds: dict[Hashable, _Kind] = {}

    def observe(self, kind: Hashable, items: int, duration_s: float) -> None:
        """Learn from one batch."""
        known = self._kinds.get(kind)
        if known is None:
            # Callers choose kinds, so those that came first are forgotten.
            while len(self._kinds) >= _MAX_KINDS:
                self._kinds.pop(next(iter(self._kinds)), None)
            self._kinds[kind] = _Kind({items: duration_s}, [items])
        elif items in known.mean_s:
            mean_s = known.mean_s[items]
            known.mean_s[items] += _NEWEST * (min(duration_s, _MOST * max(mean_s, _SHORT_S)) - mean_s)
        else:
            known.mean_s[items] = duration_s
            # A new list, since another thread may be reading the old one.
            known.sizes = sorted(known.mean_s)

    def expected_s(self, kind: Hashable, items: int) -> float:
        """Seconds that a batch takes; between two sizes that were run, on the line between them.

        A kind that was never run is taken for the slowest that was.
        """
        known = self._kinds.get(kind)
        if known is None:
            return max(
                (_interpolated_s(each, items) for each in tuple(self._kinds.values())),
                default=self._first_guess_s * items,
            )
        return _interpolated_s(known, items)


def _interpolated_s(known: _Kind, items: int) -> float:
    sizes = known.sizes
    place = bisect.bisect_left(sizes, items)
    if place == len(sizes):
        return known.mean_s[sizes[-1]] * items / sizes[-1]
    above_s = known.mean_s[sizes[place]]
    if place == 0 or sizes[place] == items:
        return above_s
    below_s = known.mean_s[sizes[place - 1]]
    share = (items - sizes[place - 1]) / (sizes[place] - sizes[place - 1])
    return below_s + share * (above_s - below_s)
