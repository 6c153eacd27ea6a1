from __future__ import annotations

import numpy as np
import pytest
import torch

from services.trainer import calibration


def test_the_temperature_of_overconfident_scores_is_found() -> None:
    """Scores that are three times too sure are divided by three."""
    generator = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(20_000, 4, generator=generator)
    targets = torch.multinomial(scores.softmax(dim=1), 1, generator=generator)[:, 0]
    assert calibration.temperature(scores * 3, targets) == pytest.approx(3, rel=0.05)
    assert calibration.temperature(scores, targets) == pytest.approx(1, rel=0.05)


def test_the_error_is_worked_out_by_hand() -> None:
    """Three sure and one unsure answer: the bins' gaps, weighted by how many are in them."""
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.05, 0.95], [0.55, 0.45]])
    targets = np.array([0, 1, 1, 0])
    expected = 3 / 4 * abs(2 / 3 - 0.95) + 1 / 4 * abs(1 - 0.55)
    found = calibration.expected_calibration_error(probabilities, targets)
    assert found == pytest.approx(expected)


def test_certainty_that_is_right_has_no_error() -> None:
    """The last bin holds probabilities of one."""
    assert calibration.expected_calibration_error(np.eye(3), np.arange(3)) == 0
