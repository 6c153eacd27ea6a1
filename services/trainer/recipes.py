"""How each part is trained. Everything that is tuned is here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Objective = Literal["batch_hard", "soft_margin", "normalised_softmax", "arcface", "multi_similarity", "mixed"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

VALIDATION_SHARE = 0.1
# More photos than this make validation slower and its figures hardly steadier.
VALIDATION_PHOTOS = 3000


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train.

    The learning rate rises for one epoch and falls along a cosine. Training stops early once the score has
    not risen for `patience` epochs.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often catalogues are shown.

    One of n photos has a share that grows with n to the `power`: with 1 all photos count the same, with 0 all
    catalogues do. `factors` multiply the shares of catalogues by name.
    """

    power: float = 0.5
    factors: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricRecipe:
    """A head that brings photos with the same `labels` together, judged by mAP@R of the label `score`.

    Batches have `classes` classes with `photos` photos each (PK sampling).

    A class of n photos is drawn in proportion to n to the `balance`. Photos that a small class shows twice in
    a batch are mixed with others of it. Training ends where the mean distance within a batch falls below
    `least_distance`.
    """

    schedule: Schedule
    objective: Objective = "mixed"
    labels: tuple[str, ...] = ("category", "type")
    score: str = "type"
    classes: int = 32
    photos: int = 8
    margin: float = 0.2
    temperature: float = 0.1
    dropout: float = 0.3
    balance: float = 0.5
    least_distance: float = 0.05
    mixture: Mixture = field(default_factory=Mixture)


@dataclass(frozen=True, slots=True)
class ContrastiveRecipe:
    """The dual encoder.

    In `title_share` of the cases the caption drawn is the title; every batch has `imagined_share` of imagined
    things on top.
    """

    schedule: Schedule
    batch: int = 512
    dropout: float = 0.2
    title_share: float = 0.5
    imagined_share: float = 0.125
    mixture: Mixture = field(default_factory=Mixture)


@dataclass(frozen=True, slots=True)
class ProbeRecipe:
    """A calibrated head. `hidden_dim` 0 is a linear one; labels of fewer than `least_photos` are left out.

    `logit_adjustment` times the labels' log frequencies are added to the scores while training (Menon et al.
    2021): with 1 rare labels are held to be as likely as common ones.
    """

    schedule: Schedule
    batch: int = 512
    hidden_dim: int = 256
    dropout: float = 0.3
    logit_adjustment: float = 0.0
    label_smoothing: float = 0.0
    least_photos: int = 10
    mixture: Mixture = field(default_factory=Mixture)


@dataclass(frozen=True, slots=True)
class CheckpointRecipe:
    """Contrastive tuning of an open_clip checkpoint, the last `unfrozen_layers` of each tower with it."""

    schedule: Schedule
    batch: int = 64
    unfrozen_layers: int = 1
    title_share: float = 0.5
    mixture: Mixture = field(default_factory=Mixture)


Recipe = MetricRecipe | ContrastiveRecipe | ProbeRecipe | CheckpointRecipe

# Of the trunk's last stage with the best head: slow, for what it knows is worth more than what is new.
LAST_STAGE = Schedule(epochs=5, learning_rate=5e-5, weight_decay=0.05, patience=2)
TRIPLET = MetricRecipe(Schedule(epochs=14, learning_rate=1e-3, weight_decay=0.05, patience=5))
COLOUR = MetricRecipe(
    Schedule(epochs=10, learning_rate=1e-3, weight_decay=0.05, patience=4),
    objective="normalised_softmax",
    labels=("colour",),
    score="colour",
    classes=24,
    photos=16,
    dropout=0.2,
)
CLIP = ContrastiveRecipe(Schedule(epochs=14, learning_rate=1e-3, weight_decay=0.05, patience=6))
PROBES = {
    name: ProbeRecipe(
        Schedule(epochs=12, learning_rate=1e-3, weight_decay=0.05, patience=4), hidden_dim=512, dropout=0.4
    )
    for name in ("gender", "type")
}
CHECKPOINT = CheckpointRecipe(Schedule(epochs=5, learning_rate=1e-5, weight_decay=0.1, patience=2))
