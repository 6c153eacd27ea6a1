"""A probe's lesson: what a shop says of a photo, read off its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.mesh.errors import InvalidArgument
from services.trainer import calibration, sampling, splits
from services.trainer.catalogues import Photo
from services.trainer.loop import Measured
from services.trainer.material import Rows
from services.trainer.recipes import ProbeRecipe


class Probe(nn.Module):
    """Vectors of several spaces side by side [n, in] -> scores [n, labels].

    The hidden layer may be left out.
    """

    units: Tensor

    def __init__(self, dims: Sequence[int], labels: int, *, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        width = sum(dims)
        self.hidden = nn.Linear(width, hidden_dim) if hidden_dim else None
        self.out = nn.Linear(hidden_dim or width, labels)
        self.dropout = nn.Dropout(dropout)
        # A unit of an L2-normalised vector is as small as its space has many; layers want units of size one.
        units = torch.cat([torch.full((dim,), dim**0.5) for dim in dims])
        self.register_buffer("units", units, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Scores before softmax, of vectors that are L2-normalised in each space."""
        x = self.dropout(vectors * self.units)
        if self.hidden is not None:
            # By tanh, which numpy has as well: it is the ranker that asks probes.
            x = self.dropout(F.gelu(self.hidden(x), approximate="tanh"))
        scores: Tensor = self.out(x)
        return scores

    def tensors(self) -> dict[str, Tensor]:
        """The layers of the same function on vectors as they are: `out(gelu(hidden(x)))` or `out(x)`."""
        layers = {"out": self.out} if self.hidden is None else {"hidden": self.hidden, "out": self.out}
        found = {}
        for number, (name, layer) in enumerate(layers.items()):
            weight = layer.weight.detach().float().cpu()
            found[f"{name}.weight"] = (weight * self.units.cpu() if number == 0 else weight).contiguous()
            found[f"{name}.bias"] = layer.bias.detach().float().cpu().contiguous()
        return found


class ProbeLesson:
    """A probe for one label (of `LABELS`) on vectors [n, in] of photos, each part in its own tensor.

    The catalogue with the most labelled photos sets the words: photos of others take part where they use
    them, since shops sort the same clothes under other words. Words of too few photos are left out. Raises
    InvalidArgument (field `labels`) where fewer than two words are left or none of the validation photos has
    one.
    """

    def __init__(
        self,
        label: str,
        parts: tuple[tuple[Photo, ...], tuple[Photo, ...]],
        vectors: tuple[Tensor, Tensor],
        dims: Sequence[int],
        recipe: ProbeRecipe,
    ) -> None:
        self._recipe = recipe
        self.labels = vocabulary(parts[0], label, recipe.least_photos)
        if len(self.labels) < 2:
            raise InvalidArgument(
                "labels", f"{label}: fewer than two words have {recipe.least_photos} photos"
            )
        device = vectors[0].device
        place = {word: number for number, word in enumerate(self.labels)}
        (rows, targets), (validation_rows, validation_targets) = (
            _targets(photos, label, place) for photos in parts
        )
        if not len(validation_rows):
            raise InvalidArgument("labels", f"no validation photo has one of the words of {label}")
        self.photos = len(rows)
        self._vectors = vectors[0][torch.from_numpy(rows).to(device)]
        self._targets = torch.from_numpy(targets).to(device)
        self._weights = sampling.weights_of([parts[0][row] for row in rows], recipe.mixture)
        self._validation = vectors[1][torch.from_numpy(validation_rows).to(device)]
        self._validation_targets = torch.from_numpy(validation_targets).to(device)
        self._validation_photos = [parts[1][row] for row in validation_rows]
        frequencies = np.bincount(targets, weights=self._weights, minlength=len(self.labels))
        self._shift = recipe.logit_adjustment * torch.from_numpy(
            np.log(np.maximum(frequencies, 1.0) / frequencies.sum())
        ).float().to(device)
        torch.manual_seed(recipe.schedule.seed)
        self.module = Probe(dims, len(self.labels), hidden_dim=recipe.hidden_dim, dropout=recipe.dropout)
        self.module.to(device)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return max(1, len(self._targets) // self._recipe.batch)

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """An epoch."""
        for batch in sampling.batches(random, self._weights, self._recipe.batch):
            rows = torch.from_numpy(batch).to(self._targets.device)
            scores = self.module(self._vectors[rows].float()) + self._shift
            yield F.cross_entropy(scores, self._targets[rows], label_smoothing=self._recipe.label_smoothing)

    def measure(self) -> Measured:
        """The score is the log-likelihood."""
        scores = self.module(self._validation.float())
        loss = float(F.cross_entropy(scores + self._shift, self._validation_targets))
        accuracy = float((scores.argmax(dim=1) == self._validation_targets).float().mean())
        return Measured(loss, -loss, {"accuracy": accuracy})

    def calibrated(self) -> tuple[float, dict[str, float]]:
        """The temperature that fits the validation photos, and figures of them.

        The calibration error after it is cross-fitted: each half of the groups is judged with the temperature
        of the other half.
        """
        with torch.no_grad():
            scores = self.module(self._validation.float()).cpu()
        targets = self._validation_targets.cpu()
        halves = torch.tensor(
            [splits.share_of("calibration", photo.group) < 0.5 for photo in self._validation_photos]
        )
        fitted = calibration.temperature(scores, targets)
        after = scores / fitted
        if halves.any() and not halves.all():
            for half in (halves, ~halves):
                after[half] = scores[half] / calibration.temperature(scores[~half], targets[~half])
        right = scores.argmax(dim=1) == targets
        recalls = [float(right[targets == each].float().mean()) for each in targets.unique()]
        return fitted, {
            "photos": float(len(targets)),
            "accuracy": float(right.float().mean()),
            "mean recall of labels": float(np.mean(recalls)),
            "ECE before": _error(scores, targets),
            "ECE after": _error(after, targets),
        }


def vocabulary(photos: Sequence[Photo], label: str, least_photos: int) -> list[str]:
    """The words that enough photos have in the catalogue with the most labelled photos, sorted."""
    words: dict[str, dict[str, int]] = {}
    for photo in photos:
        if word := str(getattr(photo, label)):
            counts = words.setdefault(photo.catalogue, {})
            counts[word] = counts.get(word, 0) + 1
    most = max(words.values(), key=lambda counts: sum(counts.values()), default={})
    return sorted(word for word, count in most.items() if count >= least_photos)


def _targets(photos: Sequence[Photo], label: str, place: dict[str, int]) -> tuple[Rows, Rows]:
    """Rows of the photos that have one of the words, and its number."""
    found = [place.get(str(getattr(photo, label)), -1) for photo in photos]
    targets = np.array(found, dtype=np.int64)
    rows = np.flatnonzero(targets >= 0)
    return rows, targets[rows]


def _error(scores: Tensor, targets: Tensor) -> float:
    probabilities = scores.softmax(dim=1).numpy()
    return calibration.expected_calibration_error(probabilities, targets.numpy())
