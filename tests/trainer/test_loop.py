from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.embedder.weights import Progress, Step
from services.mesh.errors import FailedPrecondition
from services.trainer import loop, runs
from services.trainer.loop import Measured
from services.trainer.recipes import TRIPLET, Schedule
from services.trainer.runs import Epoch, Run

SCHEDULE = Schedule(epochs=6, learning_rate=0.05, weight_decay=0.01, patience=6)


class Line:
    """A line through drawn points, learnt with dropout and drawn batches; it may be killed after an epoch."""

    def __init__(self, *, killed_after: int = 99, scores: tuple[float, ...] = ()) -> None:
        torch.manual_seed(1)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.steps = 5
        self._epochs, self._killed_after, self._scores = 0, killed_after, scores
        self._x = torch.randn(40, 4)
        self._y = self._x.sum(dim=1, keepdim=True)

    def losses(self, random: np.random.Generator) -> Iterator[Tensor]:
        if self._epochs == self._killed_after:
            raise KeyboardInterrupt
        self._epochs += 1
        for _ in range(self.steps):
            rows = torch.from_numpy(random.integers(40, size=8))
            yield nn.functional.mse_loss(self.module(self._x[rows]), self._y[rows])

    def measure(self) -> Measured:
        loss = float(nn.functional.mse_loss(self.module(self._x), self._y))
        score = self._scores[self._epochs - 1] if self._scores else -loss
        return Measured(loss, score, {"error": loss})


def run(work: Path, *, resume: bool = False) -> Run:
    return Run(work, "line", "f", resume=resume)


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, silent: Progress) -> None:
    """Killed after two epochs and gone on with, weights and history are the very same."""
    whole, killed, resumed = Line(), Line(killed_after=2), Line()
    unbroken = loop.fit(whole, SCHEDULE, run(tmp_path / "a"), silent)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(killed, SCHEDULE, run(tmp_path / "b"), silent)
    steps: list[Step] = []
    # Draws of whatever ran before in the process must not matter.
    torch.rand(7)
    gone_on = loop.fit(resumed, SCHEDULE, run(tmp_path / "b", resume=True), steps.append)
    assert steps[0].doing == "going on after epoch 2"
    for one, other in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(one, other)
    timeless = [[replace(each, duration_s=0) for each in found.history] for found in (unbroken, gone_on)]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]) == 6


def test_without_resume_a_run_starts_anew(tmp_path: Path, silent: Progress) -> None:
    """What an unfinished run left does not matter unless one asks for it."""
    with pytest.raises(KeyboardInterrupt):
        loop.fit(Line(killed_after=2), SCHEDULE, run(tmp_path), silent)
    steps: list[Step] = []
    loop.fit(Line(), SCHEDULE, run(tmp_path), steps.append)
    assert steps[0].doing.startswith("epoch 1")


def test_a_finished_run_is_not_trained_again(tmp_path: Path, silent: Progress) -> None:
    """Until it is removed, its result is taken as it is."""
    first = Line()
    loop.fit(first, SCHEDULE, run(tmp_path), silent)
    again = Line(killed_after=0)
    loop.fit(again, SCHEDULE, run(tmp_path, resume=True), silent)
    for one, other in zip(first.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(one, other)
    run(tmp_path, resume=True).finish()
    assert not list(tmp_path.iterdir())


def test_training_stops_early_and_keeps_the_best(tmp_path: Path, silent: Progress) -> None:
    """Once the score has not risen for `patience` epochs, the best epoch's weights are put in place."""
    lesson = Line(scores=(1, 3, 2, 2.5, 9, 9))
    outcome = loop.fit(lesson, replace(SCHEDULE, patience=2), run(tmp_path), silent)
    assert [each.score for each in outcome.history] == [1, 3, 2, 2.5]
    assert outcome.best.epoch == 2
    assert lesson.measure().loss == pytest.approx(outcome.best.validation_loss)
    assert not any(parameter.requires_grad for parameter in lesson.module.parameters())


def test_a_diverging_run_says_so(tmp_path: Path, silent: Progress) -> None:
    """A loss that is no number ends the run with a clear error."""
    with pytest.raises(FailedPrecondition, match="diverged in epoch") as caught:
        loop.fit(Line(), replace(SCHEDULE, learning_rate=1e30), run(tmp_path), silent)
    assert caught.value.reason == "DIVERGED"


def epoch(number: int, train: float, validation: float) -> Epoch:
    return Epoch(number, train, validation, -validation, {}, 1.0)


def test_losses_that_part_are_told() -> None:
    """A validation loss that rises while the training loss falls is overfitting; noise is not."""
    parted = [epoch(1, 1.0, 1.0), epoch(2, 0.5, 0.8), epoch(3, 0.2, 1.1)]
    assert "rose from 0.8 in epoch 2 to 1.1" in loop.parting(parted)
    assert not loop.parting([epoch(1, 1.0, 1.0), epoch(2, 0.5, 0.8), epoch(3, 0.4, 0.82)])
    assert not loop.parting([epoch(1, 1.0, 1.0), epoch(2, 1.2, 1.4)])


def test_the_rate_rises_for_an_epoch_and_falls_to_nothing() -> None:
    """Its peak is the schedule's, at the end of the first epoch."""
    rates = [loop.rate(SCHEDULE, step, 60) for step in range(60)]
    assert int(np.argmax(rates)) in {9, 10}
    assert max(rates) == SCHEDULE.learning_rate
    assert rates[0] < 0.2 * max(rates)
    assert rates[-1] < 0.01 * max(rates)
    assert loop.rate(replace(SCHEDULE, epochs=1), 0, 1) == SCHEDULE.learning_rate


def test_other_recipes_and_photos_are_other_runs() -> None:
    """A checkpoint is never gone on with under another recipe."""
    known = runs.fingerprint(TRIPLET, ["trunk"], [])
    assert known == runs.fingerprint(TRIPLET, ["trunk"], [])
    assert known != runs.fingerprint(replace(TRIPLET, margin=0.3), ["trunk"], [])
    assert known != runs.fingerprint(TRIPLET, ["other"], [])
