"""The vectors of real photos as `benchmarks.vectorsearch.photos` keeps them.

Apart from it, since those who read them need not wait for the models' libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SPACES = ("resnet50", "clip", "triplet")


@dataclass(frozen=True, slots=True)
class Kept:
    """Vectors that lie in a folder: `SPACE.npy` float32 [n, dim] each, rows of one order."""

    folder: Path

    def vectors(self, space: str) -> npt.NDArray[np.float32]:
        """Those of a space, mapped and read-only: L2-normalised, float32 [n, dim]."""
        mapped: npt.NDArray[np.float32] = np.load(self.folder / f"{space}.npy", mmap_mode="r")
        return mapped

    def __len__(self) -> int:
        return int(self.vectors(SPACES[0]).shape[0])
