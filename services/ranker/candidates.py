"""Products that may answer a query, as columns: what scoring reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Space:
    """Cosines of the candidates with the query: float64 [n], NaN where one has no vector in this space."""

    name: str
    neutral: float
    cosines: Doubles


@dataclass(frozen=True, slots=True)
class Column:
    """One label of all candidates, dictionary-coded.

    `codes` are int64 [n] into `values`, -1 where nothing is known; `probabilities` float64 [n], 1 where the
    shop states the value.
    """

    values: tuple[str, ...]
    codes: Integers
    probabilities: Doubles

    def value_at(self, index: int) -> str | None:
        """The value of one candidate, if known."""
        code = int(self.codes[index])
        return self.values[code] if code >= 0 else None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns of equal length [n]."""

    product_ids: Sequence[str]
    spaces: Sequence[Space]
    labels: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.product_ids)
