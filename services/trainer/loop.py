"""The training loop: seeded, resumable, validated each epoch, stopped early, watched for overfitting."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from services.embedder.weights import Progress, Step
from services.mesh.errors import FailedPrecondition
from services.trainer.recipes import Schedule
from services.trainer.runs import Epoch, Run

DIVERGED = "DIVERGED"

# The validation loss may rise this far above its least before that is told: below, it is noise.
_PARTING = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """A model on validation photos. Higher scores are better; `figures` are for people."""

    loss: float
    score: float
    figures: Mapping[str, float]


class Lesson(Protocol):
    """Something to learn."""

    @property
    def module(self) -> nn.Module:
        """All that is trained, and no more."""
        ...

    @property
    def steps(self) -> int:
        """How many losses an epoch has."""
        ...

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        """An epoch: after each scalar the module takes a step."""
        ...

    def measure(self) -> Measured:
        """The module as it is, in evaluation mode and without gradients."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How training went. The module has the weights of `best`; `warning` tells of overfitting, if any."""

    history: Sequence[Epoch]
    best: Epoch
    warning: str


def fit(lesson: Lesson, schedule: Schedule, run: Run, progress: Progress) -> Outcome:
    """Trains until the schedule ends or the score no longer rises; the best epoch's weights are put in place.

    Every epoch draws from generators seeded by the schedule's seed and the epoch's number, and its state is
    saved in `run`: a run that is gone on with gives the very same result as an unbroken one. Raises
    FailedPrecondition (reason DIVERGED) where the loss is no number any more.
    """
    module = lesson.module
    optimizer = torch.optim.AdamW(
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
    )
    history: list[Epoch] = []
    best = _copied(module)
    state = run.load()
    if state is not None:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        history = [Epoch(**each) for each in state["history"]]
        best = state["best"]
        progress(Step(run.name, f"going on after epoch {len(history)}", len(history) / schedule.epochs))
    while len(history) < schedule.epochs and not _is_stale(history, schedule.patience):
        number = len(history)
        started = time.perf_counter()
        train_loss = _epoch(lesson, optimizer, schedule, number)
        measured = _measured(lesson)
        history.append(
            Epoch(
                number + 1,
                train_loss,
                measured.loss,
                measured.score,
                dict(measured.figures),
                round(time.perf_counter() - started, 2),
            )
        )
        if _best(history) is history[-1]:
            best = _copied(module)
        run.save(
            {
                "module": module.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": [asdict(each) for each in history],
                "best": best,
            }
        )
        progress(Step(run.name, _told(history[-1]), len(history) / schedule.epochs))
    module.load_state_dict(best)
    module.eval().requires_grad_(requires_grad=False)
    warning = parting(history)
    progress(Step(run.name, f"{warning or 'done'}, the best is epoch {_best(history).epoch}", 1.0))
    return Outcome(history, _best(history), warning)


def rate(schedule: Schedule, step: int, steps: int) -> float:
    """The learning rate of a step: linear up during the first of all epochs' `steps`, a cosine down after."""
    warm = max(1, steps // max(2, schedule.epochs))
    if step < warm:
        return schedule.learning_rate * (step + 1) / warm
    return schedule.learning_rate * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def parting(history: Sequence[Epoch]) -> str:
    """A warning where the validation loss rose after its least while the training loss fell, else empty."""
    least = min(history, key=lambda each: each.validation_loss)
    last = history[-1]
    risen = last.validation_loss - least.validation_loss > _PARTING * abs(least.validation_loss)
    if not (risen and last.train_loss < least.train_loss):
        return ""
    return (
        f"overfitting: the validation loss rose from {least.validation_loss:.4g} in epoch {least.epoch} to "
        f"{last.validation_loss:.4g}, the training loss fell to {last.train_loss:.4g}"
    )


def _epoch(lesson: Lesson, optimizer: torch.optim.Optimizer, schedule: Schedule, number: int) -> float:
    torch.manual_seed(schedule.seed * 1_000_003 + number)
    lesson.module.train()
    total, steps = 0.0, lesson.steps
    for step, loss in enumerate(lesson.losses(np.random.default_rng([schedule.seed, number]))):
        for group in optimizer.param_groups:
            group["lr"] = rate(schedule, number * steps + step, schedule.epochs * steps)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        total += float(loss.detach())
    mean = total / steps
    if not math.isfinite(mean):
        message = f"training diverged in epoch {number + 1}: the loss is {mean}"
        raise FailedPrecondition(message, reason=DIVERGED)
    return mean


def _measured(lesson: Lesson) -> Measured:
    lesson.module.eval()
    with torch.no_grad():
        return lesson.measure()


def _best(history: Sequence[Epoch]) -> Epoch:
    return max(history, key=lambda each: each.score)


def _is_stale(history: Sequence[Epoch], patience: int) -> bool:
    return bool(history) and history[-1].epoch - _best(history).epoch >= patience


def _copied(module: nn.Module) -> dict[str, Any]:
    return copy.deepcopy(module.state_dict())


def _told(epoch: Epoch) -> str:
    figures = ", ".join(f"{name} {value:.3f}" for name, value in epoch.figures.items())
    losses = f"loss {epoch.train_loss:.3f}, on validation {epoch.validation_loss:.3f}"
    return f"epoch {epoch.epoch}: {losses}" + (f", {figures}" if figures else "")
