from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from services.trainer import sampling
from services.trainer.catalogues import Photo
from services.trainer.recipes import Mixture
from services.trainer.sampling import ClassSampler


@given(
    st.lists(st.integers(-1, 5), min_size=1, max_size=60),
    st.integers(2, 4),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_batches_have_k_photos_of_each_of_p_classes(
    targets: list[int], classes: int, photos: int, seed: int
) -> None:
    """Every batch has P classes, or all there are, and of each exactly K photos, with partners of it."""
    labels = np.array(targets, dtype=np.int64)
    usable = [each for each in set(targets) - {-1} if targets.count(each) >= 2]
    weights = np.ones(len(labels))
    if len(usable) < 2:
        with pytest.raises(InvalidArgument, match="two labels"):
            ClassSampler(labels, weights, classes=classes, photos=photos, balance=0.5)
        return
    sampler = ClassSampler(labels, weights, classes=classes, photos=photos, balance=0.5)
    batches = list(sampler.batches(np.random.default_rng(seed)))
    assert len(batches) == sampler.steps
    for batch in batches:
        found, counts = np.unique(batch.targets, return_counts=True)
        assert len(found) == min(classes, len(usable))
        assert (counts == photos).all()
        assert set(found.tolist()) <= set(usable)
        for rows in (batch.rows, batch.partners):
            np.testing.assert_array_equal(labels[rows], batch.targets)
        assert len(set(batch.rows[~batch.is_repeat].tolist())) == (~batch.is_repeat).sum()


def test_small_classes_come_more_often_than_they_are() -> None:
    """With a balance of 0 a class of two is drawn as often as one of two hundred."""
    labels = np.array([0] * 200 + [1] * 200 + [2] * 2)
    sampler = ClassSampler(labels, np.ones(402), classes=2, photos=2, balance=0.0)
    drawn = np.concatenate([batch.targets for batch in sampler.batches(np.random.default_rng(0))])
    assert (drawn == 2).mean() > 0.25


def test_an_epoch_shows_each_photo_as_often_as_it_weighs() -> None:
    """The draw is systematic: a photo comes as often as expected, give or take one."""
    weights = np.array([0.5] * 50 + [1.5] * 50)
    drawn = sampling.drawn(np.random.default_rng(0), np.arange(100), weights)
    counts = np.bincount(drawn, minlength=100)
    assert len(drawn) == 100
    assert (np.abs(counts - weights) < 1).all()
    assert sorted(sampling.drawn(np.random.default_rng(1), np.arange(9), np.ones(9))) == list(range(9))


def test_a_small_catalogue_weighs_more_by_its_power(photos: list[Photo]) -> None:
    """With power 1 all photos weigh the same, with 0 catalogues do, and factors multiply."""
    mixed = [replace(photo, catalogue="few" if n < 10 else "many") for n, photo in enumerate(photos)]
    assert sampling.weights_of(mixed, Mixture(power=1.0)).tolist() == [1.0] * 90
    even = sampling.weights_of(mixed, Mixture(power=0.0))
    assert even[:10].sum() == pytest.approx(even[10:].sum())
    assert even.mean() == pytest.approx(1)
    twice = sampling.weights_of(mixed, Mixture(power=0.0, factors=(("few", 2.0),)))
    assert twice[:10].sum() == pytest.approx(2 * twice[10:].sum())
    with pytest.raises(InvalidArgument, match="no catalogue 'none'"):
        sampling.weights_of(mixed, Mixture(factors=(("none", 2.0),)))


def test_fewer_photos_than_a_batch_are_one_batch() -> None:
    """A tiny catalogue still trains."""
    (batch,) = sampling.batches(np.random.default_rng(0), np.ones(5), 64)
    assert sorted(batch) == [0, 1, 2, 3, 4]
    assert [len(each) for each in sampling.batches(np.random.default_rng(0), np.ones(10), 4)] == [4, 4]
