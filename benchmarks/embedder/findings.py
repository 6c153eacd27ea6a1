"""What a part of the benchmark found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Findings:
    """`figures` as they are published, the `rounds` whose medians some of them are, latencies in seconds."""

    figures: dict[str, object] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    raw_s: dict[str, list[float]] = field(default_factory=dict)

    def settle(self, name: str, values: Sequence[float]) -> float:
        """Publish the median of a figure's rounds; the median."""
        self.rounds[name] = [round(value, 4) for value in values]
        median = round(float(np.median(values)), 4)
        self.figures[name] = median
        return median

    def add(self, other: Findings) -> None:
        """Take in what another part found."""
        self.figures |= other.figures
        self.rounds |= other.rounds
        self.raw_s |= other.raw_s

    @property
    def published(self) -> Mapping[str, object]:
        """The figures, and the least and the greatest of the rounds of those that have some."""
        spread = {
            name: {"min": min(values), "max": max(values), "rounds": values}
            for name, values in self.rounds.items()
        }
        return self.figures | {"spread": spread}
