"""Which photos weights were trained on, so that an evaluation can tell what it must not be proud of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.embedder import weights
from services.mesh.errors import FailedPrecondition

Digests = npt.NDArray[np.uint64]

FILE = "seen.npy"


def digest_of(content: bytes) -> int:
    """The first 8 bytes of the sha256 of a photo's file, the first byte the most significant."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


@dataclass(frozen=True, slots=True)
class Seen:
    """The photos of a training, uint64 [n], sorted and each once.

    Of a million photos two share their eight bytes by chance once in 37 million times.
    """

    digests: Digests

    @classmethod
    def of(cls, digests: Iterable[int] | Digests) -> Seen:
        """The photos of these digests, in any order and any number of times."""
        return cls(np.unique(np.fromiter(digests, dtype=np.uint64)))

    @classmethod
    def load(cls, path: Path) -> Seen:
        """What `save` wrote; raises FailedPrecondition (reason SEEN_MISSING) where it cannot be read."""
        try:
            digests = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FailedPrecondition(
                f"it is not known which photos the heads were trained on: {path.name} cannot be read",
                reason="SEEN_MISSING",
            ) from error
        return cls(np.unique(digests.astype(np.uint64)))

    @classmethod
    def by(cls, models_dir: Path) -> Seen | None:
        """What the heads were trained on that a models directory is used with: its own and shipped ones.

        They are listed beside the heads. None where a list is missing, so that nobody knows; raises as
        `load`.
        """
        heads = weights.HEADS_DIR.glob("*.safetensors")
        lists = {weights.head(models_dir, head.name).with_name(FILE) for head in heads}
        if not all(path.is_file() for path in lists):
            return None
        return cls.of(np.concatenate([cls.load(path).digests for path in lists]))

    def save(self, path: Path) -> None:
        """Write them as a `.npy` file, which is there whole or not at all."""
        fresh = path.with_name(f"{path.stem}.fresh.npy")
        np.save(fresh, self.digests)
        fresh.replace(path)

    def among(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of these photos were trained on, bool [n]."""
        return np.isin(digests, self.digests)

    def count(self, digests: Digests) -> int:
        """How many of these photos were trained on."""
        return int(self.among(digests).sum())
