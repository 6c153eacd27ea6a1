from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.embedder.towers import Space
from services.trainer import answers
from services.trainer.evaluation.catalogue import Flags
from services.trainer.evaluation.ranking import Measured, Profile, Query, Ranker
from tests.ranker.columns import DIGEST, axis, write_semantics
from tests.trainer.evaluation.shops import shop


def measured(count: int = 300, offset: float = 0.0) -> Measured:
    """Candidates that have one term more of the later they come, and another at random."""
    noise = np.random.default_rng(count).random(count)
    return Measured(
        np.arange(count), {"visual.clip": noise, "visual.place": offset + np.arange(count, dtype=np.float64)}
    )


def every(other: int, count: int = 300) -> Flags:
    """Each so many-th candidate is right."""
    flags: Flags = np.arange(count) % other == 0
    return flags


def test_as_many_wrong_as_right_answers_are_drawn_from_the_first() -> None:
    """No more than the limit of each, however many there are, and none from farther down."""
    drawn = answers.draw(["visual.place"], [(measured(), every(2)), (measured(), every(25))], seed=0)
    assert np.bincount(drawn.queries).tolist() == [2 * answers.MOST, 8]
    assert np.bincount(drawn.queries, drawn.right).tolist() == [answers.MOST, 4]
    for query in (0, 1):
        places = drawn.values[drawn.queries == query, 0]
        assert np.ptp(places) < answers.FIRST
        assert len(np.unique(places)) == len(places)


def test_a_query_that_nothing_can_be_learnt_from_has_no_answers() -> None:
    """Without a right or without a wrong candidate among the first nothing is told apart."""
    nothing_right, late = every(400), np.arange(300) >= answers.FIRST
    nothing_right[0] = False
    drawn = answers.draw(
        ["visual.clip"],
        [(measured(), nothing_right), (measured(), every(1)), (measured(), late), (measured(), every(3))],
        seed=0,
    )
    assert set(drawn.queries.tolist()) == {3}
    assert not len(answers.draw(["visual.clip"], [], seed=0).queries)


def test_only_what_differs_within_a_query_counts() -> None:
    """A query whose candidates all have more of a term has the same answers."""
    terms = ["visual.place", "visual.clip"]
    drawn, raised = (answers.draw(terms, [(measured(offset=by), every(2))], seed=4) for by in (0.0, 7.0))
    assert drawn.values == pytest.approx(raised.values)
    assert drawn.values.mean(axis=0) == pytest.approx([0, 0])


def test_a_term_that_tells_nothing_of_a_query_moves_none_of_its_answers() -> None:
    """And a term that tells nothing of any query is no telling one."""
    silent = Measured(np.arange(300), {"visual.clip": measured().terms["visual.clip"]})
    drawn = answers.draw(
        ["semantic.type", "visual.place", "visual.clip"], [(measured(), every(2)), (silent, every(2))], seed=0
    )
    assert not drawn.values[drawn.queries == 1][:, :2].any()
    telling = drawn.telling()
    assert telling.terms == ("visual.place", "visual.clip")
    assert np.array_equal(telling.values, drawn.values[:, 1:])


def test_a_seed_draws_the_same_answers() -> None:
    """And another one others."""
    first, again, other = (
        answers.draw(["visual.clip"], [(measured(), every(2))], seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_the_answers_to_some_queries_stay_as_they_are() -> None:
    """Half of the queries have the answers that they have among all."""
    drawn = answers.draw(["visual.clip"], [(measured(), every(2)), (measured(200), every(3, 200))], seed=0)
    part = drawn.of(np.array([False, True]))
    assert set(part.queries.tolist()) == {1}
    assert np.array_equal(part.values, drawn.values[drawn.queries == 1])
    assert np.array_equal(part.right, drawn.right[drawn.queries == 1])


def test_what_is_measured_makes_the_ranker_s_order(tmp_path: Path) -> None:
    """The weighted sum of the values falls from one candidate to the next, which are those of the ranking."""
    write_semantics(tmp_path)
    catalogue = shop({"gender": "Women"}, {"gender": "Men"}, {"gender": "Women"}, {})
    looks = np.stack([axis(label) for label in ("Women", "Men", "Women", "Men")])
    ranker = Ranker(
        catalogue, {"clip": looks}, (Space("clip", "c", 0, accepts_text=True, digest=DIGEST),), tmp_path
    )
    profile = Profile("all", {"visual.clip": 1.0, "semantic.gender": 0.2})
    cosines = {"clip": np.array([[0.2, 0.5, 0.4, 0.1]], dtype=np.float32)}
    (window,) = ranker.windows(profile, cosines, catalogue.first_photos, [np.array([2])])
    query = Query({"clip": 0.6 * axis("Women") + 0.59 * axis("Men")})
    found = ranker.measure(profile, query, window)
    assert found.products.tolist() == ranker.rank(profile, query, window, masked=False).products.tolist()
    assert found.terms.keys() == profile.weights.keys()
    scores = sum(profile.weights[name] * values for name, values in found.terms.items())
    assert len(found.products) == 3
    assert np.all(np.diff(scores) <= 0)
