"""What a pass takes by its number of pictures, from a record of passes that overlapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.figures import PodFigures

# Fewer passes of a size say too little of it.
_ENOUGH = 5
_QUANTILES = np.linspace(0.025, 0.975, 20)


@dataclass(frozen=True, slots=True)
class TimedPass:
    """One pass of `items` pictures, by `time.monotonic`."""

    began_at: float
    ended_at: float
    items: int


@dataclass(frozen=True, slots=True)
class PassTimes:
    """Seconds of a pass by its size, from 1 on: with no other beside it, and with all places taken.

    A pass that was watched took the seconds so predicted times one of `factors`, quantiles of equal weight.
    `counts` is how many passes of each size were watched.
    """

    alone_s: tuple[float, ...]
    shared_s: tuple[float, ...]
    factors: tuple[float, ...]
    counts: tuple[int, ...]


def read(record: Path) -> list[TimedPass]:
    """The passes that `timed` has written down, those of the warm-up too."""
    lines = [line.split() for line in record.read_text(encoding="ascii").splitlines()]
    return [TimedPass(float(began), float(ended), int(items)) for began, ended, items in lines]


def fit(passes: Sequence[TimedPass], most_items: int) -> PassTimes:
    """Times of all sizes up to `most_items`.

    A pass that was alone for a seconds and shared for b has done a / alone + b / shared of its work, which is
    1. For each size `shared` is the median over passes that were hardly ever alone; sizes that were not
    watched often enough lie on the line between their neighbours. The ratio of alone to shared is that of
    lone pictures, the only size that is often alone. Raises ValueError when too little was watched.
    """
    company = _in_company(passes)
    took_s = np.array([each.ended_at - each.began_at for each in passes])
    items = np.array([each.items for each in passes])
    share = company / took_s
    medians = {}
    for size in range(1, most_items + 1):
        chosen = took_s[(items == size) & (share > 0.8)]
        if len(chosen) >= _ENOUGH:
            medians[size] = float(np.median(chosen))
    alone = took_s[(items == 1) & (share < 0.2)]
    if len(medians) < 2 or len(alone) < _ENOUGH:
        raise ValueError(f"too few passes: {len(alone)} alone, sizes {sorted(medians)} in company")
    sizes = np.arange(1, most_items + 1)
    shared = _line(sizes, medians)
    ratio = min(1.0, float(np.median(alone)) / shared[0])
    predicted = _predicted(shared[np.minimum(items, most_items) - 1], ratio, share)
    factors = np.quantile(took_s / predicted, _QUANTILES)
    return PassTimes(
        tuple(_rounded(shared * ratio)),
        tuple(_rounded(shared)),
        tuple(_rounded(factors)),
        tuple(int((items == size).sum()) for size in sizes),
    )


def slowness(passes: Sequence[TimedPass], pod: PodFigures) -> float:
    """How much longer passes took than the pod's figures say: the median ratio, 1 where they hold."""
    took_s = np.array([each.ended_at - each.began_at for each in passes])
    share = _in_company(passes) / took_s
    place = np.minimum([each.items for each in passes], pod.pass_items) - 1
    ratio = pod.alone_s[0] / pod.shared_s[0]
    predicted = _predicted(np.array(pod.shared_s)[place], ratio, share)
    return round(float(np.median(took_s / predicted)), 3)


def _predicted(
    shared_s: npt.NDArray[np.float64], ratio: float, share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return shared_s / ((1 - share) / ratio + share)


def _line(sizes: npt.NDArray[np.int_], medians: dict[int, float]) -> npt.NDArray[np.float64]:
    """Straight between sizes that were watched, in proportion beyond the largest, and never falling."""
    known = sorted(medians)
    values = np.interp(sizes, known, [medians[size] for size in known])
    beyond = sizes > known[-1]
    values[beyond] = medians[known[-1]] * sizes[beyond] / known[-1]
    return np.maximum.accumulate(values)


def _in_company(passes: Sequence[TimedPass]) -> npt.NDArray[np.float64]:
    """Seconds of each pass in which another was under way too."""
    edges = sorted({at for each in passes for at in (each.began_at, each.ended_at)})
    place = {at: index for index, at in enumerate(edges)}
    change = np.zeros(len(edges))
    for each in passes:
        change[place[each.began_at]] += 1
        change[place[each.ended_at]] -= 1
    crowded = np.diff(edges, append=edges[-1]) * (np.cumsum(change) > 1)
    until = np.concatenate(([0.0], np.cumsum(crowded)))
    return np.array([until[place[each.ended_at]] - until[place[each.began_at]] for each in passes])


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
