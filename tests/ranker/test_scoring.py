from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.ranker import terms
from services.ranker.candidates import Candidates, Column, Space
from services.ranker.query import KnownLabel, Query, believe
from services.ranker.scoring import Cursor, Ranking, rank
from tests.ranker.columns import candidates, column

WEIGHTS = {
    "visual.resnet50": 0.4,
    "visual.clip": 0.4,
    "visual.triplet": 0.2,
    terms.GENDER: 0.1,
    terms.CATEGORY: 0.1,
    terms.COLOUR: 0.05,
    terms.TEXT: 0.15,
}

_VALUES = {
    "gender": ["Men", "Women", "Unisex", "Boys", "Divided"],
    "category": ["Shoes", "Topwear", "Accessories", "footwear"],
    "type": ["Heels", "Tshirts", "Hat", "Unknown"],
    "colour": ["Red", "Maroon", "Navy Blue", "undefined"],
}
# Few distinct cosines, so that ties are common.
_COSINES = [np.nan, 0.0, 0.25, 0.25000001, 0.5, 0.999]


@st.composite
def _requests(draw: st.DrawFn) -> tuple[Candidates, Query]:
    count = draw(st.integers(0, 30))
    # Columns come from a seed: drawing them number by number takes most of a test's time.
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spaces = [Space(name, 0.4, rng.choice(_COSINES, count)) for name in ("resnet50", "clip")]
    labels = {
        name: Column(tuple(values), rng.integers(-1, len(values), count), rng.choice([0.3, 0.9, 1.0], count))
        for name, values in _VALUES.items()
    }
    ids = [f"p{index:02}" for index in rng.permutation(count)]
    found = Candidates(ids, spaces, labels)
    text = draw(st.sampled_from(["", "red shoes for women", "blue t-shirt or bag", "rain"]))
    known = draw(
        st.sampled_from([[], [KnownLabel("gender", "Men", 1.0)], [KnownLabel("category", "Shoes", 1.0)]])
    )
    return found, believe(
        text, known, found, lambda task: {"Women": 0.7, "Men": 0.3} if task == "gender" else {}
    )


def _shuffled(found: Candidates, order: list[int]) -> Candidates:
    return Candidates(
        [found.product_ids[place] for place in order],
        [Space(space.name, space.neutral, space.cosines[order]) for space in found.spaces],
        {
            name: Column(column.values, column.codes[order], column.probabilities[order])
            for name, column in found.labels.items()
        },
    )


def _hits(found: Candidates, ranking: Ranking) -> list[tuple[str, float]]:
    return [(found.product_ids[place], float(ranking.scores[place])) for place in ranking.order]


@given(_requests())
def test_contributions_add_up_to_the_score(request: tuple[Candidates, Query]) -> None:
    """Of every candidate, within a millionth, and no score is better than the best possible one."""
    found, query = request
    ranking = rank(found, query, WEIGHTS, limit=1000)
    for place in range(len(found)):
        total = sum(term.weight * term.values[place] for term in ranking.terms)
        assert abs(total - ranking.scores[place]) <= 1e-6
        assert ranking.scores[place] <= ranking.best_possible_score + 1e-6


@given(_requests(), st.integers(1, 40))
def test_the_order_is_that_of_a_full_sort(request: tuple[Candidates, Query], limit: int) -> None:
    """The selected few are the first of all, sorted by descending score and id, without those dropped."""
    found, query = request
    ranking = rank(found, query, WEIGHTS, limit=limit)
    dropped = {drop.place for drop in ranking.dropped}
    replay = np.lexsort((np.array(found.product_ids, dtype=str), -ranking.scores))
    expected = [place for place in replay.tolist() if place not in dropped]
    assert ranking.order == expected[:limit]
    assert ranking.more == (len(expected) > limit)


@given(_requests(), st.integers(1, 7))
def test_pages_join_to_the_full_order(request: tuple[Candidates, Query], limit: int) -> None:
    """Page by page, from cursor to cursor, nobody repeats and nobody is skipped."""
    found, query = request
    full = _hits(found, rank(found, query, WEIGHTS, limit=1000))
    paged: list[tuple[str, float]] = []
    cursor, more = None, True
    while more:
        page = rank(found, query, WEIGHTS, limit=limit, after=cursor)
        paged += _hits(found, page)
        more = page.more
        cursor = Cursor(paged[-1][1], paged[-1][0]) if paged else None
    assert paged == full


@given(_requests(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(request: tuple[Candidates, Query], random: object) -> None:
    """The same candidates in another order get the same scores and the same ranks, to the last bit."""
    found, query = request
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = _shuffled(found, order)
    assert _hits(other, rank(other, query, WEIGHTS, limit=10)) == _hits(
        found, rank(found, query, WEIGHTS, limit=10)
    )


def test_a_known_contradiction_drops_with_a_reason() -> None:
    """A text for women drops what the shop states to be for men or boys, and neither guesses nor unisex."""
    found = candidates(
        "abcdef",
        {"clip": [0.9] * 6},
        {"gender": column("Men", "Boys", ("Men", 0.99), "Unisex", "Women", None)},
    )
    ranking = rank(found, believe("for women", [], found, lambda task: {}), WEIGHTS, limit=10)
    assert {found.product_ids[drop.place]: drop.reason for drop in ranking.dropped} == {
        "a": "is for Men, the query is for Women",
        "b": "is for Boys, the query is for Women",
    }
    assert [found.product_ids[place] for place in ranking.order] == ["e", "d", "f", "c"]


def test_a_guess_drops_nobody() -> None:
    """However sure a model is of the query, that is soft; so is the same photo's label."""
    found = candidates("ab", {"resnet50": [0.999, 0.9]}, {"gender": column("Women", "Men")})
    assert rank(found, believe("", [], found, lambda task: {}), WEIGHTS, limit=10).dropped == []
    query = believe("", [], candidates([]), lambda task: {"Women": 1.0} if task == "gender" else {})
    assert rank(found, query, WEIGHTS, limit=10).dropped == []


def test_a_profile_without_gender_drops_nobody() -> None:
    """A purely visual profile looks at pictures alone."""
    found = candidates("ab", {"clip": [0.1, 0.9]}, {"gender": column("Women", "Men")})
    ranking = rank(found, believe("for women", [], found, lambda task: {}), {"visual.clip": 1.0}, limit=10)
    assert ranking.order == [1, 0]
    assert ranking.dropped == []


def test_the_same_photo_scores_the_best_possible() -> None:
    """A photo found again reaches the top of the scale, although its labels are only inferred."""
    found = candidates(
        "ab", {"resnet50": [1.0, 0.6], "clip": [1.0, 0.8]}, {"gender": column(("Men", 0.6), ("Men", 0.6))}
    )
    query = believe(
        "", [], found, lambda task: {"Men": 0.6, "Women": 0.4} if task == "gender" else {"bags": 1.0}
    )
    ranking = rank(found, query, WEIGHTS, limit=1)
    assert ranking.order == [0]
    assert ranking.scores[0] == ranking.best_possible_score


def test_no_candidates_is_an_empty_page() -> None:
    """Nothing found is an answer."""
    ranking = rank(candidates([]), Query(), WEIGHTS, limit=10)
    assert (ranking.order, ranking.more, ranking.dropped) == ([], False, [])
