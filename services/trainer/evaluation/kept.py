"""What was computed of photos and titles before, found again by the digest of what it was computed of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.seen import Digests

Array = npt.NDArray[Any]


class Kept:
    """A folder of parts; each has keys uint64 [n] and what belongs to them, [n, ...] of one dtype.

    A part is renamed into place as a whole, so what is found is complete, and a run that was interrupted
    goes on where it was.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[tuple[Path, Digests]] = []
        for path in sorted(folder.glob("*.npz")) if folder.is_dir() else ():
            if not path.name.startswith("."):
                with np.load(path) as part:
                    self._parts.append((path, part["keys"]))

    def lacks(self, keys: Digests) -> npt.NDArray[np.bool_]:
        """Which of these keys nothing is kept for, bool [n]."""
        known = [part for _, part in self._parts]
        return ~np.isin(keys, np.concatenate(known)) if known else np.ones(len(keys), dtype=np.bool_)

    def add(self, keys: Digests, values: Array) -> None:
        """Keep `values` [n, ...] for `keys`, n >= 1."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{hashlib.sha256(keys.tobytes()).hexdigest()[:16]}.npz"
        fresh = self._folder / f".{name}"
        with fresh.open("wb") as file:
            np.savez(file, keys=keys, values=values)
        fresh.replace(self._folder / name)
        self._parts.append((self._folder / name, keys))

    def take(self, keys: Digests) -> Array:
        """What is kept for `keys`, n >= 1, which must not lack: [n, ...]."""
        taken: Array | None = None
        for path, known in self._parts:
            order = np.argsort(known)
            places = np.searchsorted(known, keys, sorter=order)
            rows = order[np.minimum(places, len(known) - 1)]
            found = known[rows] == keys
            if found.any():
                with np.load(path) as part:
                    values = part["values"]
                if taken is None:
                    taken = np.empty((len(keys), *values.shape[1:]), dtype=values.dtype)
                taken[found] = values[rows[found]]
        assert taken is not None
        return taken
