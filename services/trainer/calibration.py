"""Probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 15

_STEPS = 100


def temperature(logits: Tensor, targets: Tensor) -> float:
    """What scores [n, classes] are to be divided by, for the least negative log-likelihood of int64 [n].

    Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    log_temperature = torch.zeros((), requires_grad=True)
    scores, wanted = logits.detach().float().cpu(), targets.cpu()
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(scores / log_temperature.exp(), wanted)
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return float(log_temperature.detach().exp())


def expected_calibration_error(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """The mean distance between confidence and share of right answers, over 15 bins of confidence.

    `probabilities` are [n, classes], `targets` [n]. Naeini et al. 2015, as Guo et al. 2017 have it.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = 0.0
    for each in np.unique(bins):
        chosen = bins == each
        error += chosen.mean() * abs(right[chosen].mean() - confidence[chosen].mean())
    return float(error)
