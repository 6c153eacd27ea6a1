from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from services.trainer import objectives
from services.trainer.recipes import OBJECTIVES, TRIPLET, Objective

# Two classes on a circle: 0 and 60 degrees, 90 and 180 degrees.
ANGLES = torch.tensor([0.0, 60.0, 90.0, 180.0]).deg2rad()
VECTORS = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
LABELS = torch.tensor([0, 0, 1, 1])


def chord(degrees: float) -> float:
    """The Euclidean distance of two points of the unit circle, which is not squared."""
    return 2 * math.sin(math.radians(degrees) / 2)


# Each anchor's farthest of its class and nearest of the other.
GAPS = [
    chord(60) - chord(90),
    chord(60) - chord(30),
    chord(90) - chord(30),
    chord(90) - chord(120),
]


def test_right_pairs_cost_least() -> None:
    """Pairs that point the same way cost less than shuffled ones, and almost nothing at a high scale."""
    vectors, same = torch.eye(4), torch.eye(4, dtype=torch.bool)
    right = objectives.contrastive(vectors, vectors, torch.tensor(50.0), same)
    wrong = objectives.contrastive(vectors, vectors.roll(1, 0), torch.tensor(50.0), same)
    assert float(right) == pytest.approx(0, abs=1e-6)
    assert wrong > 10


def test_undecided_vectors_cost_the_logarithm_of_the_batch() -> None:
    """When everything looks alike the loss is that of guessing."""
    vectors = torch.ones(8, 1)
    loss = objectives.contrastive(vectors, vectors, torch.tensor(1.0), torch.eye(8, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(8))


def test_doubles_share_the_probability() -> None:
    """Two photos with one caption do not push each other away."""
    vectors = torch.eye(3)[[0, 0, 1]]
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    loss = objectives.contrastive(vectors, vectors, torch.tensor(50.0), same)
    assert float(loss) == pytest.approx(2 / 3 * math.log(2), abs=1e-6)


def test_batch_hard_is_the_hinge_of_plain_distances() -> None:
    """The mean over the anchors that cost something, of distances that are not squared."""
    recipe = replace(TRIPLET, objective="batch_hard", margin=0.2)
    costs = [cost for gap in GAPS if (cost := gap + 0.2) > 0]
    loss = objectives.metric(recipe, 2, 2)(VECTORS, LABELS)
    assert float(loss) == pytest.approx(sum(costs) / len(costs), abs=1e-5)


def test_the_soft_margin_is_a_softplus() -> None:
    """The mean of log(1 + exp(gap)) over all anchors."""
    loss = objectives.metric(replace(TRIPLET, objective="soft_margin"), 2, 2)(VECTORS, LABELS)
    expected = sum(math.log1p(math.exp(gap)) for gap in GAPS) / 4
    assert float(loss) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_pulls_classes_apart(objective: Objective) -> None:
    """A few steps on free vectors lower the loss, and each one's nearest is of its class in the end."""
    torch.manual_seed(0)
    free = torch.nn.Parameter(torch.randn(12, 8))
    labels = torch.arange(3).repeat(4)
    loss = objectives.metric(replace(TRIPLET, objective=objective), 3, 8)
    optimizer = torch.optim.Adam([free, *loss.parameters()], lr=0.05)
    first = float(loss(functional.normalize(free.detach(), dim=1), labels).detach())
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(loss(functional.normalize(free, dim=1), labels))
        optimizer.step()
    vectors = functional.normalize(free.detach(), dim=1)
    assert float(loss(vectors, labels).detach()) < first
    scores = (vectors @ vectors.T).fill_diagonal_(-2)
    assert (labels[scores.argmax(dim=1)] == labels).all()


def test_the_mean_distance_tells_a_collapse() -> None:
    """Vectors at one point are at no distance, opposite ones at two."""
    assert objectives.mean_distance(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert objectives.mean_distance(torch.tensor([[1.0, 0], [-1.0, 0]])) == 2
