from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from services.trainer import objectives


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


def test_separated_classes_cost_no_triplet() -> None:
    """Classes farther apart than the margin cost nothing; mixed ones do."""
    vectors = torch.eye(2)[[0, 0, 1, 1]]
    apart = objectives.batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), margin=0.2)
    mixed = objectives.batch_hard_triplet(vectors, torch.tensor([0, 1, 0, 1]), margin=0.2)
    assert float(apart) == 0
    assert mixed > 1


def test_anchors_without_a_positive_do_not_count() -> None:
    """A class with one member in the batch adds no triplet."""
    vectors = functional.normalize(torch.randn(3, 4), dim=-1)
    with_single = objectives.batch_hard_triplet(
        torch.cat([vectors[:1], vectors[:1], -vectors[:1]]), torch.tensor([0, 0, 1]), margin=0.2
    )
    assert float(with_single) == pytest.approx(0, abs=1e-3)


def test_proxies_attract_their_class() -> None:
    """A vector on its own proxy costs less than on another's."""
    proxies = torch.eye(3) * 7
    right = objectives.normalised_softmax(torch.eye(3), proxies, torch.arange(3), temperature=0.1)
    wrong = objectives.normalised_softmax(torch.eye(3), proxies, torch.arange(3).roll(1), temperature=0.1)
    assert right < 0.001 < wrong
