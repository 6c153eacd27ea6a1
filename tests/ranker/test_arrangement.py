from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.vectors import Floats
from services.ranker.arrangement import DIVERSE, Arrangement, Cap, Variety, arranged, page
from services.ranker.candidates import Candidates
from services.ranker.diversity import diverse
from services.ranker.query import believe
from services.ranker.scoring import Cursor, Ranking, rank
from tests.ranker.columns import candidates, column

_HIT = st.tuples(
    st.sampled_from([0.1, 0.25, 0.5, 0.9]),
    st.sampled_from(["red", "blue", ("red", 0.9), ("green", 0.4), None]),
)
_HITS = st.lists(_HIT, max_size=25)
_Hits = list[tuple[float, str | tuple[str, float] | None]]


def _candidates(hits: _Hits) -> Candidates:
    labels = column(*(hit[1] for hit in hits))
    return candidates(
        [f"p{number:03}" for number in range(len(hits))],
        {"clip": [hit[0] for hit in hits]},
        {"colour": labels, "inferred.colour": labels},
    )


def _ranked(found: Candidates) -> Ranking:
    query = believe("", [], found, lambda _task: {})
    return rank(found, query, {"visual.clip": 1.0}, limit=max(1, len(found)))


def _by_score(hits: _Hits) -> list[int]:
    return sorted(range(len(hits)), key=lambda place: (-hits[place][0], place))


def _pages(ranking: Ranking, found: Candidates, limit: int) -> list[int]:
    """All pages by score, one after the other."""
    shown: list[int] = []
    after: Cursor | None = None
    more = True
    while more:
        cut = page(ranking, found, limit=limit, after=after, offset=0)
        shown += cut.order
        more = cut.more
        if cut.order:
            after = Cursor(float(cut.scores[cut.order[-1]]), found.product_ids[cut.order[-1]])
    return shown


@given(_HITS, st.integers(1, 3), st.booleans(), st.integers(1, 9))
def test_a_cap_holds_over_all_pages(hits: _Hits, size: int, inferred: bool, limit: int) -> None:
    """The best so many of each stated value come, over pages of any size; what is inferred, when asked."""
    found = _candidates(hits)
    seen: dict[str, int] = {}
    expected = []
    for place in _by_score(hits):
        given_value = hits[place][1]
        value = given_value[0] if isinstance(given_value, tuple) and inferred else given_value
        if isinstance(value, str):
            seen[value] = seen.get(value, 0) + 1
        if not isinstance(value, str) or seen[value] <= size:
            expected.append(place)
    wanted = Arrangement(cap=Cap("inferred.colour" if inferred else "colour", size))
    ranking = arranged(_ranked(found), found, wanted, depth=limit)
    assert ranking.order == expected
    assert _pages(ranking, found, limit) == expected


@given(_HITS, st.sampled_from([-float("inf"), 0.0, 0.05, 0.5, 0.75, 1.5]))
def test_a_threshold_is_below_the_best_possible_score(hits: _Hits, shortfall: float) -> None:
    """Whoever is no farther below stays, in order."""
    found = _candidates(hits)
    ranking = arranged(_ranked(found), found, Arrangement(max_shortfall=shortfall), depth=5)
    best = ranking.best_possible_score
    expected = [place for place in _by_score(hits) if best - ranking.scores[place] <= shortfall]
    assert ranking.order == expected


@given(_HITS, st.floats(0.01, 1), st.integers(0, 2**32), st.integers(1, 9))
def test_pages_of_a_varied_order_have_every_hit_once(
    hits: _Hits, diversity: float, seed: int, limit: int
) -> None:
    """Pages are cut from one order by place: nothing comes twice and nothing is skipped."""
    found = _candidates(hits)
    looks = np.random.default_rng(seed).normal(size=(len(hits), 4)).astype(np.float32)
    wanted = Arrangement(variety=Variety(diversity, looks))
    shown: list[int] = []
    more = True
    while more:
        ranking = arranged(_ranked(found), found, wanted, depth=len(shown) + limit)
        cut = page(ranking, found, limit=limit, after=None, offset=len(shown))
        shown += cut.order
        more = cut.more
    assert shown == arranged(_ranked(found), found, wanted, depth=len(hits)).order
    assert sorted(shown) == list(range(len(hits)))


def _many(count: int) -> tuple[Candidates, Floats]:
    """Candidates in an order that is not theirs, and vectors of the first of them."""
    rng = np.random.default_rng(7)
    found = candidates([f"p{n:04}" for n in range(count)], {"clip": rng.random(count).tolist()})
    return found, rng.normal(size=(DIVERSE, 8)).astype(np.float32)


def test_only_the_first_are_varied() -> None:
    """Behind the first 200 the order by score goes on; among them those without a vector take part."""
    found, looks = _many(350)
    plain = _ranked(found)
    varied = arranged(plain, found, Arrangement(variety=Variety(0.6, looks)), depth=350)
    first = plain.order[:DIVERSE]
    assert varied.order[DIVERSE:] == plain.order[DIVERSE:]
    assert sorted(varied.order[:DIVERSE]) == sorted(first)
    assert any(place >= len(looks) for place in first)
    every = np.full((350, 8), np.nan, np.float32)
    every[: len(looks)] = looks
    near = 1 - (plain.best_possible_score - plain.scores[first])
    assert varied.order[:DIVERSE] == [first[place] for place in diverse(near, every[first], 0.6, DIVERSE)]


def test_scores_and_terms_stay() -> None:
    """An arrangement moves hits and changes none."""
    found, looks = _many(250)
    plain = _ranked(found)
    varied = arranged(plain, found, Arrangement(max_shortfall=0.8, variety=Variety(0.6, looks)), depth=9)
    assert varied.scores is plain.scores
    assert varied.terms is plain.terms
    assert min(plain.scores[place] for place in varied.order) >= plain.best_possible_score - 0.8


def test_variety_without_vectors_is_said_to_be_lacking() -> None:
    """The order is that by score then; of one hit there is but one order."""
    found, _ = _many(10)
    blind = Arrangement(variety=Variety(0.5, None))
    assert arranged(_ranked(found), found, blind, depth=10).order == _ranked(found).order
    assert blind.lacking(found) == ["diversity"]
    assert not blind.lacking(_many(1)[0])
    assert not Arrangement().lacking(found)
    assert Arrangement().is_plain
    assert not blind.is_plain


def test_nothing_to_arrange() -> None:
    """Without candidates there is an empty order."""
    found = _candidates([])
    wanted = Arrangement(0.5, Cap("colour", 1), Variety(0.5, np.empty((0, 4), np.float32)))
    ranking = arranged(_ranked(found), found, wanted, depth=5)
    assert not page(ranking, found, limit=5, after=None, offset=0).order
