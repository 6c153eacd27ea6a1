from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker import terms
from services.ranker.candidates import Candidates, Column, Space
from services.ranker.query import Belief, KnownLabel, Query, Source, believe, neighbours
from services.ranker.scoring import LEAST_COMPATIBLE, Cursor, Dropped, Ranking, rank
from services.ranker.taxonomy import FAMILIES, GENDERS
from services.ranker.wire import MAX_REPORTED_DROPS, write_ranking
from tests.ranker.columns import candidates, column
from vitrine.v1 import ranker_pb2

WEIGHTS: Mapping[str, float] = {
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


_GUESSES = [
    {},
    {"gender": {"Women": 0.7, "Men": 0.3}},
    {"gender": {"Women": 0.999, "Men": 0.001}, "category": {"footwear": 0.6, "topwear": 0.4}},
    {"category": dict.fromkeys(FAMILIES, 1.0)},
]


class _Request(NamedTuple):
    found: Candidates
    query: Query
    weights: Mapping[str, float]


@st.composite
def _requests(draw: st.DrawFn) -> _Request:
    count = draw(st.integers(0, 30))
    # Columns come from a seed: drawing them number by number takes most of a test's time.
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spaces = [Space(name, 0.4, rng.choice(_COSINES, count)) for name in ("resnet50", "clip", "colour")]
    labels = {
        name: Column(tuple(values), rng.integers(-1, len(values), count), rng.choice([0.3, 0.9, 1.0], count))
        for name, values in _VALUES.items()
    }
    ids = [f"p{index:02}" for index in rng.permutation(count)]
    found = Candidates(ids, spaces, labels)
    drawn = {
        name: draw(st.floats(0, 2))
        for name in (*terms.NAMES, "visual.resnet50", "visual.clip", "visual.colour")
        if draw(st.booleans())
    }
    weights = draw(st.sampled_from([WEIGHTS, drawn]))
    text = draw(st.sampled_from(["", "", "red shoes for women", "blue t-shirt or bag", "rain"]))
    known = [
        KnownLabel(name, draw(st.sampled_from(_VALUES[name])), draw(st.sampled_from([0.9, 1.0])))
        for name in _VALUES
        if draw(st.booleans()) and draw(st.booleans())
    ]
    guess = draw(st.sampled_from(_GUESSES))
    near = neighbours(found, {"resnet50": 1.0, "clip": 1.0}) if draw(st.booleans()) else None
    return _Request(found, believe(text, known, found, lambda task: guess.get(task, {}), near), weights)


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
def test_contributions_add_up_to_the_score(request: _Request) -> None:
    """Of every candidate, within a millionth, and no score is better than the best possible one."""
    found, query, weights = request
    ranking = rank(found, query, weights, limit=1000)
    for place in range(len(found)):
        total = sum(term.weight * term.values[place] for term in ranking.terms)
        assert abs(total - ranking.scores[place]) <= 1e-6
        assert ranking.scores[place] <= ranking.best_possible_score + 1e-6


@given(_requests(), st.integers(1, 40))
def test_the_order_is_that_of_a_full_sort(request: _Request, limit: int) -> None:
    """The selected few are the first of all, sorted by descending score and id, without those dropped."""
    found, query, weights = request
    ranking = rank(found, query, weights, limit=limit)
    dropped = set(ranking.dropped.places.tolist())
    replay = np.lexsort((np.array(found.product_ids, dtype=str), -ranking.scores))
    expected = [place for place in replay.tolist() if place not in dropped]
    assert ranking.order == expected[:limit]
    assert ranking.more == (len(expected) > limit)


@given(_requests(), st.integers(1, 7))
def test_pages_join_to_the_full_order(request: _Request, limit: int) -> None:
    """Page by page, from cursor to cursor, nobody repeats and nobody is skipped."""
    found, query, weights = request
    full = _hits(found, rank(found, query, weights, limit=1000))
    paged: list[tuple[str, float]] = []
    cursor, more = None, True
    while more:
        page = rank(found, query, weights, limit=limit, after=cursor)
        paged += _hits(found, page)
        more = page.more
        cursor = Cursor(paged[-1][1], paged[-1][0]) if paged else None
    assert paged == full


@given(_requests(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(request: _Request, random: object) -> None:
    """The same candidates in another order get the same scores and the same ranks, to the last bit."""
    found, query, weights = request
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = _shuffled(found, order)
    assert _hits(other, rank(other, query, weights, limit=10)) == _hits(
        found, rank(found, query, weights, limit=10)
    )


@given(_requests(), st.integers(1, 9))
def test_the_explained_terms_tell_the_order(request: _Request, limit: int) -> None:
    """Who adds up the terms of each hit and sorts them, ties by id, has the very same pages."""
    found, query, weights = request
    hits: list[ranker_pb2.RankedCandidate] = []
    cursor, more = None, True
    while more:
        page = rank(found, query, weights, limit=limit, after=cursor)
        shown, _ = write_ranking(page, found, explain=True)
        hits += shown
        more = page.more
        cursor = Cursor(hits[-1].score, found.product_ids[hits[-1].index]) if hits else None
    totals = np.zeros(len(hits))
    for summands in zip(*([(term.value, term.weight) for term in hit.terms] for hit in hits), strict=True):
        values, shares = np.array(summands).T
        totals += values * shares
    scores = [hit.score for hit in hits]
    assert np.abs(totals - scores).max(initial=0) <= 1e-6
    ids = np.array([found.product_ids[hit.index] for hit in hits], dtype=str)
    assert np.lexsort((ids, -np.rint(totals * 1e6))).tolist() == list(range(len(hits)))
    full = rank(found, query, weights, limit=1000)
    assert [hit.index for hit in hits] == full.order
    assert {hit.index for hit in hits} | set(full.dropped.places.tolist()) == set(range(len(found)))
    for hit in hits:
        assert [term.contribution for term in hit.terms] == [term.value * term.weight for term in hit.terms]


def test_a_known_contradiction_drops_with_a_reason() -> None:
    """A text for women drops what the shop states to be for men or boys, and neither guesses nor unisex."""
    found = candidates(
        "abcdef",
        {"clip": [0.9] * 6},
        {"gender": column("Men", "Boys", ("Men", 0.99), "Unisex", "Women", None)},
    )
    ranking = rank(found, believe("for women", [], found, lambda task: {}), WEIGHTS, limit=10)
    assert {found.product_ids[drop.place]: drop.reason for drop in ranking.dropped.first(10)} == {
        "a": "is for Men, the query is for Women",
        "b": "is for Boys, the query is for Women",
    }
    assert [found.product_ids[place] for place in ranking.order] == ["e", "d", "f", "c"]


def _inferred(shares: Mapping[str, float], source: Source = Source.INFERRED) -> Query:
    return Query(gender=Belief(source, np.array([shares.get(name, 0.0) for name in GENDERS]), ("?",)))


def _left_out(found: Candidates, query: Query) -> list[int]:
    places: list[int] = rank(found, query, WEIGHTS, limit=10).dropped.places.tolist()
    return places


def _dropped(query: Query, *offered: str | tuple[str, float] | None) -> list[int]:
    ids = [f"p{place}" for place in range(len(offered))]
    found = candidates(ids, {"clip": [0.9] * len(ids)}, {"gender": column(*offered)})
    return _left_out(found, query)


@pytest.mark.parametrize("other", ["Men", "Boys", "Unisex", "Kids"])
def test_a_sure_guess_drops_what_it_contradicts(other: str) -> None:
    """Below the threshold nothing that suits women would suit; at the other side of it nobody goes."""
    for doubt, expected in ((LEAST_COMPATIBLE * 0.99, [0, 1]), (LEAST_COMPATIBLE * 1.01, [])):
        query = _inferred({"Women": 1 - doubt, other: doubt})
        assert (
            _dropped(query, "Men", "Boys", "Women", "Girls", "Unisex", "Kids", None, ("Men", 0.99))
            == expected
        )


def test_an_older_or_younger_query_is_no_contradiction() -> None:
    """Women or girls is a doubt about age: it drops men and boys as if there were none."""
    assert _dropped(_inferred({"Women": 0.5, "Girls": 0.5}), "Men", "Boys", "Women", "Girls") == [0, 1]
    assert _dropped(_inferred({"Men": 0.5, "Boys": 0.5}), "Men", "Boys", "Women", "Girls") == [2, 3]


@given(st.lists(st.floats(0, 1), min_size=len(GENDERS), max_size=len(GENDERS)), st.booleans())
def test_unisex_and_kids_never_go(numbers: list[float], certain: bool) -> None:
    """Whatever is believed drops none of them, and belief in them drops nobody."""
    shares = dict(zip(GENDERS, (np.array(numbers) / max(sum(numbers), 1e-9)).tolist(), strict=True))
    query = _inferred(shares, Source.STATED if certain else Source.INFERRED)
    dropped = {GENDERS[place] for place in _dropped(query, *GENDERS)}
    assert dropped <= {"Women", "Girls"} or dropped <= {"Men", "Boys"}
    likeliest = max(GENDERS, key=lambda name: shares[name])
    assert likeliest not in dropped
    if likeliest in {"Unisex", "Kids"}:
        assert not dropped


def test_a_guess_tells_why_it_dropped() -> None:
    """The reason says that the query only looks so, in the word of the shop for what was dropped."""
    found = candidates("ab", {"clip": [0.9, 0.8]}, {"gender": column("Gents", "Ladies")})
    ranking = rank(found, _inferred({"Women": 1.0}), WEIGHTS, limit=10)
    assert ranking.dropped.label == "gender"
    assert ranking.dropped.first(10) == [Dropped(0, "is for Gents, the query looks for Women")]
    assert ranking.order == [1]


def test_of_many_drops_the_first_are_told() -> None:
    """All are counted and all are left out, each told one has the reason of its own word, in their order."""
    words = ["Men", "Women", "Boys"]
    ids = [f"p{place}" for place in range(300)]
    found = candidates(ids, {"clip": [0.5] * 300}, {"gender": column(*(words * 100))})
    ranking = rank(found, believe("for women", [], found, lambda task: {}), WEIGHTS, limit=1000)
    assert len(ranking.dropped) == 200
    assert set(ranking.order) == set(range(1, 300, 3))
    expected = [
        Dropped(place, f"is for {words[place % 3]}, the query is for Women")
        for place in range(300)
        if place % 3 != 1
    ]
    assert ranking.dropped.first(1000) == expected
    assert ranking.dropped.first(0) == []
    _, reported = write_ranking(ranking, found, explain=True)
    assert [(drop.product_id, drop.reason) for drop in reported] == [
        (ids[drop.place], drop.reason) for drop in expected[:MAX_REPORTED_DROPS]
    ]
    assert write_ranking(ranking, found, explain=False)[1] == []


def test_the_same_photo_drops_nobody() -> None:
    """Neither what is stated of it drops others, nor can a guess drop it."""
    found = candidates("abc", {"resnet50": [0.999, 0.9, 0.999]}, {"gender": column("Women", "Men", "Men")})
    query = believe("", [], found, lambda task: {"Women": 1.0})
    assert query.gender is not None
    assert query.gender.source is Source.SAME_PHOTO
    assert _left_out(found, query) == []
    assert _left_out(found, _inferred({"Women": 1.0})) == [1]
    said = believe("for women", [], found, lambda task: {})
    assert _left_out(found, said) == [1, 2]


def test_neighbours_alone_drop_nobody() -> None:
    """One candidate that is a little nearer is no reason to leave out the other, unless a model agrees."""
    found = candidates("ab", {"clip": [0.9, 0.7]}, {"gender": column("Women", "Men")})
    near = neighbours(found, {"clip": 1.0})
    votes = believe("", [], found, lambda task: {}, near)
    assert votes.gender is not None
    assert votes.gender.shares[GENDERS.index("Men")] < LEAST_COMPATIBLE
    assert _left_out(found, votes) == []
    both = believe("", [], found, lambda task: {"Women": 1.0} if task == "gender" else {}, near)
    assert _left_out(found, both) == [1]


def test_a_doubtful_guess_drops_nobody() -> None:
    """A model that holds the other sex for possible is soft."""
    assert _dropped(_inferred({"Women": 0.9, "Men": 0.1}), "Men", "Women") == []


def test_only_a_gender_that_is_weighed_drops() -> None:
    """A profile that weighs what is known alone drops by that alone, and one that does not, not by it."""
    found = candidates("ab", {"clip": [0.9, 0.8]}, {"gender": column("Women", "Men")})
    said, guessed = believe("for women", [], found, lambda task: {}), _inferred({"Women": 1.0})
    semantic, known = terms.GENDER, terms.KNOWN[terms.GENDER]
    for weights, expected in (
        ({semantic: 0.1}, (1, 1)),
        ({known: 0.1}, (1, 0)),
        ({semantic: 0.1, known: 0.0}, (0, 1)),
        ({semantic: 0.0, known: 0.1}, (1, 0)),
    ):
        rankings = [rank(found, query, {"visual.clip": 1.0} | weights, limit=10) for query in (said, guessed)]
        assert tuple(len(ranking.dropped) for ranking in rankings) == expected


def test_a_profile_without_gender_drops_nobody() -> None:
    """A purely visual profile looks at pictures alone."""
    found = candidates("ab", {"clip": [0.1, 0.9]}, {"gender": column("Women", "Men")})
    ranking = rank(found, believe("for women", [], found, lambda task: {}), {"visual.clip": 1.0}, limit=10)
    assert ranking.order == [1, 0]
    assert len(ranking.dropped) == 0


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
    assert (ranking.order, ranking.more, len(ranking.dropped)) == ([], False, 0)
