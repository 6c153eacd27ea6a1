"""Which photos are trained on, which tell when to stop, and which no part of training may see."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from services.mesh.errors import InvalidArgument
from services.trainer.catalogues import Photo
from services.trainer.material import Rows

# Two listings of one photo have a cosine of 1 in the trunk's space: of 61 pairs of such listings in two
# catalogues 55 are above this, and 1% of all photos have a neighbour that is. Alike products stay below.
NEAR_DUPLICATE_COSINE = 0.99

_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the photos. `dropped` are near-duplicates of what must not be seen: they are in no part."""

    train: Rows
    validation: Rows
    held_out: Rows
    dropped: Rows

    def counts(self) -> dict[str, int]:
        """How many photos are in each part."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "held out": len(self.held_out),
            "near-duplicates left out": len(self.dropped),
        }


def split(
    photos: Sequence[Photo], features: Tensor, *, validation_share: float, held_out: Collection[str]
) -> Split:
    """Parts that share neither a group nor a picture, the same whatever the order of the photos.

    A group with a product of `held_out` is held out whole, in every catalogue. Of the others the hash of the
    group's name decides. `features` are [n, d], of any length. Raises InvalidArgument where an id of
    `held_out` is of no product, and where nothing is left to train on or to validate with.
    """
    unknown = set(held_out) - {photo.product for photo in photos}
    if held_out and len(unknown) == len(set(held_out)):
        raise InvalidArgument("held_out", f"no catalogue has any of these {len(unknown)} products")
    hidden_groups = {photo.group for photo in photos if photo.product in held_out}
    is_hidden = np.array([photo.group in hidden_groups for photo in photos])
    share = {photo.group: share_of("validation", photo.group) for photo in photos}
    is_validation = np.array([share[photo.group] < validation_share for photo in photos]) & ~is_hidden
    hidden, validation = np.flatnonzero(is_hidden), np.flatnonzero(is_validation)
    train = np.flatnonzero(~is_hidden & ~is_validation)
    clean_validation = _unlike(features, validation, hidden)
    clean_train = _unlike(features, train, np.concatenate([hidden, validation]))
    if not (len(clean_train) and len(clean_validation)):
        raise InvalidArgument("catalogues", "too few photos: nothing is left to train on or to validate with")
    dropped = np.setdiff1d(
        np.concatenate([train, validation]), np.concatenate([clean_train, clean_validation])
    )
    return Split(clean_train, clean_validation, hidden, dropped)


def read_ids(path: Path, *, field: str) -> frozenset[str]:
    """The product ids of a text file, one a line.

    Raises InvalidArgument naming `field` where it cannot be read and where no id is in it.
    """
    try:
        # Editors of tables put a mark before the first line.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InvalidArgument(field, f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(field, f"{path} is no text in UTF-8: {error.reason}") from error
    ids = frozenset(line.strip() for line in lines if line.strip())
    if not ids:
        raise InvalidArgument(field, f"{path} names no product")
    return ids


def write(photos: Sequence[Photo], output: Path, *, validation_share: float, test_share: float) -> list[Path]:
    """Writes the product ids of three parts: `train.txt`, `validation.txt` and `test.txt`.

    A group is in one part, chosen by the hash of its name: the same in every run and for a larger catalogue.
    Raises InvalidArgument unless both shares are above 0 and leave something.
    """
    if not (validation_share > 0 and test_share > 0 and validation_share + test_share < 1):
        raise InvalidArgument("validation", "wanted shares above 0 that leave some photos to train on")
    parts: dict[str, dict[str, None]] = {"train": {}, "validation": {}, "test": {}}
    for photo in photos:
        share = share_of("split", photo.group)
        is_test, is_validation = share < test_share, share < test_share + validation_share
        parts["test" if is_test else "validation" if is_validation else "train"][photo.product] = None
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, ids in parts.items():
        paths.append(output / f"{name}.txt")
        paths[-1].write_text("".join(f"{each}\n" for each in ids), encoding="utf-8")
    return paths


def share_of(purpose: str, name: str) -> float:
    """Where a name lies in [0, 1) by its hash; another purpose mixes them anew."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{name}".encode()).digest()[:8]) / 2**64


def _unlike(features: Tensor, rows: Rows, seen: Rows) -> Rows:
    """Those of `rows` that are near-duplicates of none of `seen`."""
    if not len(seen) or not len(rows):
        return rows
    others = F.normalize(features[torch.from_numpy(seen)].float(), dim=-1)
    kept = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        cosines = F.normalize(features[torch.from_numpy(chunk)].float(), dim=-1) @ others.T
        kept.append(chunk[(cosines.amax(dim=1) < NEAR_DUPLICATE_COSINE).cpu().numpy()])
    return np.concatenate(kept)
