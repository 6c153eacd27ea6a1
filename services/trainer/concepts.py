"""Things that no catalogue of clothes shows, imagined from what the trunk's own ImageNet classifier knows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# How far imagined features lie along the class's direction, and how much of a real photo shines through. The
# classifier is sure of them (0.998 on average), and they are nearly as long as real features.
_REACH = (8.0, 20.0)
_BACKGROUND = (0.2, 0.7)
# The length of pooled features of photos, which cached ones have lost.
_LENGTH = 32.0


@dataclass(frozen=True, slots=True)
class Concepts:
    """ImageNet classes: classifier weights float32 [1000, 2048], vectors of the names float32 [1000, 384]."""

    weights: Tensor
    captions: Tensor

    def imagine(self, classes: Tensor, backgrounds: Tensor) -> Tensor:
        """Features [n, 2048] that the classifier takes for `classes` (int64 [n]), over `backgrounds`.

        A linear classifier's weight vector is the direction in which features grow with its class; features
        come out of a ReLU, so what falls below zero is cut. `backgrounds` are features of photos [n, 2048],
        L2-normalised.
        """
        reach = torch.empty(len(classes), 1, device=classes.device).uniform_(*_REACH)
        faded = torch.empty(len(classes), 1, device=classes.device).uniform_(*_BACKGROUND)
        return functional.relu(faded * _LENGTH * backgrounds + reach * self.weights[classes])
