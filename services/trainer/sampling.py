"""Which photos a batch is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.mesh.errors import InvalidArgument
from services.trainer.catalogues import Photo
from services.trainer.material import Rows
from services.trainer.recipes import Mixture

Weights = npt.NDArray[np.float64]


def weights_of(photos: Sequence[Photo], mixture: Mixture) -> Weights:
    """How often each photo is to be shown compared with others, float64 [n] with a mean of 1.

    Raises InvalidArgument (field `weight`) for a factor of a catalogue that is not there.
    """
    names, codes, counts = np.unique(
        [photo.catalogue for photo in photos], return_inverse=True, return_counts=True
    )
    shares = counts.astype(np.float64) ** mixture.power
    for name, factor in mixture.factors:
        if name not in names:
            raise InvalidArgument("weight", f"no catalogue {name!r} among {', '.join(names)}")
        shares[names == name] *= factor
    weights: Weights = (shares / counts)[codes]
    weights /= weights.mean()
    return weights


def drawn(random: np.random.Generator, rows: Rows, weights: Weights) -> Rows:
    """As many of `rows` as there are, shuffled, each as often as its weight says, give or take one.

    The draw is systematic: one random offset and even steps along the summed weights.
    """
    edges = np.cumsum(weights)
    steps = (random.random() + np.arange(len(rows))) * (edges[-1] / len(rows))
    found = np.minimum(np.searchsorted(edges, steps, side="right"), len(rows) - 1)
    return random.permutation(rows[found])


def batches(random: np.random.Generator, weights: Weights, size: int) -> Iterator[Rows]:
    """An epoch of batches of `size` rows, or of all where there are fewer.

    What is left over is left out: those photos come at another place in the next epoch.
    """
    order = drawn(random, np.arange(len(weights)), weights)
    size = min(size, len(order))
    for start in range(0, len(order) - size + 1, size):
        yield order[start : start + size]


@dataclass(frozen=True, slots=True)
class ClassBatch:
    """Rows of a batch and their classes, int64 [n], and rows to mix them with.

    `partners` are photos of the same class; `is_repeat` marks rows that are in this batch a second time.
    """

    rows: Rows
    targets: Rows
    partners: Rows
    is_repeat: npt.NDArray[np.bool_]


class ClassSampler:
    """PK sampling (Hermans et al. 2017): P classes a batch with K photos each.

    `targets` are int64 [n], -1 for photos that take no part. A class of n photos is drawn in proportion to n
    to the `balance`. Raises InvalidArgument (field `labels`) where fewer than two classes have two photos.
    """

    def __init__(self, targets: Rows, weights: Weights, *, classes: int, photos: int, balance: float) -> None:
        counts = np.bincount(targets[targets >= 0], minlength=1)
        self._classes = np.flatnonzero(counts >= 2)
        if len(self._classes) < 2:
            raise InvalidArgument("labels", "fewer than two labels have two photos")
        shares = counts[self._classes] ** balance
        self._shares = shares / shares.sum()
        self._members = {each: np.flatnonzero(targets == each) for each in self._classes.tolist()}
        self._weights = weights
        self._a_batch = min(classes, len(self._classes))
        self._photos = photos
        self.steps = max(1, int(counts[self._classes].sum()) // (self._a_batch * photos))

    def batches(self, random: np.random.Generator) -> Iterator[ClassBatch]:
        """An epoch of batches: as many photos as there are, small classes more often."""
        queues = {each: np.empty(0, dtype=np.int64) for each in self._members}
        for _ in range(self.steps):
            chosen = random.choice(self._classes, self._a_batch, replace=False, p=self._shares)
            parts = []
            for each in chosen.tolist():
                members = self._members[each]
                while len(queues[each]) < self._photos:
                    fresh = drawn(random, members, self._weights[members])
                    queues[each] = np.concatenate([queues[each], fresh])
                parts.append(queues[each][: self._photos])
                queues[each] = queues[each][self._photos :]
            rows = np.concatenate(parts)
            first = np.zeros(len(rows), dtype=np.bool_)
            first[np.unique(rows, return_index=True)[1]] = True
            partners = np.concatenate([random.permutation(part) for part in parts])
            yield ClassBatch(rows, np.repeat(chosen, self._photos), partners, ~first)
