"""The products nearest to queries, exactly, many queries at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from services.vectorsearch import rescoring
from services.vectorsearch.columns import Codes, Mask, Slots
from services.vectorsearch.indexes.indexed import Pairs, named
from services.vectorsearch.kernels import Floats, Indices
from services.vectorsearch.lanes import Run, alone
from services.vectorsearch.rescoring import SCORE_SCALE, Scored, SpaceBatch
from services.vectorsearch.scan import Survivors, Wanted, scan
from services.vectorsearch.views import Part, View

PLANS = ("empty", "flat", "gather", "masked", "index")

# Fewer rows than one in so many are scored one by one: by a search that is alone, and in any company. That
# costs less than a first pass over all of them, which reads less of every row and is shared with the others
# of the batch.
_GATHER_SHARE_ALONE = 6
_GATHER_SHARE = 16

# How much deeper than asked a capped search looks first, and then again.
_CAP_FACTOR = 4


@dataclass(frozen=True, slots=True)
class SpaceQuery:
    """The query in one space: normalised float32 [d], its weight, and the cosine of rows without any."""

    space: str
    vector: Floats
    weight: float
    neutral: float


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `size` products of a group; `groups` int32 [slots] has the group of each, -1 for none.

    No more than `reachable` products are left of all that pass.
    """

    groups: Codes
    size: int
    reachable: int

    @classmethod
    def of(cls, groups: Codes, size: int, among: Mask) -> Cap:
        """The cap for products of `among`, bool [slots]."""
        passing = groups[among]
        counts = np.bincount(passing + 1)
        return cls(groups, size, int(counts[0] + np.minimum(counts[1:], size).sum()) if len(counts) else 0)


@dataclass(frozen=True, slots=True)
class Query:
    """What one search wants of a view: the `limit` best products by weighted sum of cosines."""

    spaces: Sequence[SpaceQuery]
    limit: int
    # Bool [slots]; None for all products.
    passing: Mask | None = None
    # Slots to leave out, and how many rows these have in the view.
    excluded: frozenset[int] = frozenset()
    excluded_rows: int = 0
    min_score: float = -inf
    cap: Cap | None = None
    # Whether approximate indexes may be asked.
    approximately: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The best products in descending order of score, equal scores by product id; columns of equal length."""

    plan: str
    rows_passed: int
    slots: Slots
    product_ids: list[str]
    photo_ids: list[str]
    # float32 [spaces, products] of the best photo, NaN where it has no vector in the space.
    cosines: Floats


@dataclass(slots=True)
class _Search:
    """A query on its way: its rows by part (None for all of a part), how they are read, and how deep."""

    query: Query
    masks: list[Mask | None]
    rows_passed: int
    plan: str
    depth: int
    pairs: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def search(view: View, queries: Sequence[Query], *, run: Run = alone) -> list[Found]:
    """Answer queries that are all in the same spaces, in the same order.

    A product's score is that of its best photo; of equally good photos the one that was given first counts.
    Products without a photo are never found. `run` may spread the reading of the rows over threads.
    """
    searches = [_begun(view, query, len(queries)) for query in queries]
    answers: list[Found | None] = [None] * len(searches)
    pending = list(range(len(searches)))
    while pending:
        found = _scored(view, [searches[number] for number in pending], run)
        short = []
        for number in pending:
            answers[number], enough = _answer(view, searches[number], found)
            if not enough:
                searches[number].depth *= _CAP_FACTOR
                short.append(number)
        pending = short
    return [answer for answer in answers if answer is not None]


def _begun(view: View, query: Query, company: int) -> _Search:
    masks = [part.passing(query.passing) for part in view.parts]
    passed = sum(
        part.size if mask is None else int(np.count_nonzero(mask))
        for part, mask in zip(view.parts, masks, strict=True)
    )
    everything = query.passing is None or passed == view.live
    share = min(_GATHER_SHARE, _GATHER_SHARE_ALONE * company)
    if not everything and passed * share < view.rows:
        plan = "gather"
    elif query.approximately and _is_indexed(view, query, None if everything else passed):
        plan = "index"
    else:
        plan = "flat" if everything else "masked"
    if query.passing is None:
        passed -= query.excluded_rows
    depth = (query.limit + len(query.excluded)) * (_CAP_FACTOR if query.cap else 1)
    return _Search(query, masks, passed, plan if passed else "empty", depth)


def _scored(view: View, searches: Sequence[_Search], run: Run) -> Scored:
    """Score whatever may be among the best of each search, and tell each which pairs are its own."""
    pairs: list[list[Pairs]] = [[] for _ in view.parts]
    scanned = [number for number, each in enumerate(searches) if each.plan in ("flat", "masked")]
    if scanned:
        numbers = np.array(scanned, dtype=np.int64)
        its = [searches[number] for number in scanned]
        masks = [each.masks for each in its]
        for survivors in _scanned(view.most_photos, view.parts, its, masks, run):
            for part, (queries, rows) in _by_part(survivors):
                pairs[part].append((numbers[queries], rows))
    for number, each in enumerate(searches):
        if each.plan == "gather":
            for part, mask in enumerate(each.masks):
                rows = np.arange(view.parts[part].size) if mask is None else np.flatnonzero(mask)
                pairs[part].append((np.full(len(rows), number, dtype=np.int64), rows))
    indexed = [number for number, each in enumerate(searches) if each.plan == "index"]
    if indexed:
        numbers = np.array(indexed, dtype=np.int64)
        for part, (queries, rows) in enumerate(_named(view, [searches[number] for number in indexed], run)):
            pairs[part].append((numbers[queries], rows))
    found = rescoring.scored(view.parts, [_in_order(each) for each in pairs], _batches(searches), run)
    order = np.argsort(found.queries, kind="stable")
    starts = np.searchsorted(found.queries[order], np.arange(len(searches) + 1))
    for number, each in enumerate(searches):
        each.pairs = order[starts[number] : starts[number + 1]]
    return found


def _scanned(
    most_photos: int,
    parts: Sequence[Part],
    searches: Sequence[_Search],
    masks: Sequence[Sequence[Mask | None]],
    run: Run,
) -> list[Survivors]:
    wanted = [
        Wanted(each.depth * most_photos, each.query.min_score, its)
        for each, its in zip(searches, masks, strict=True)
    ]
    return scan(parts, _batches(searches), wanted, run)


def _batches(searches: Sequence[_Search]) -> list[SpaceBatch]:
    """The queries of all searches, space by space."""
    return [
        SpaceBatch(
            column[0].space,
            np.stack([each.vector for each in column]),
            np.array([each.weight for each in column]),
            np.array([each.neutral for each in column]),
        )
        for column in zip(*(each.query.spaces for each in searches), strict=True)
    ]


def _is_indexed(view: View, query: Query, passed: int | None) -> bool:
    """Whether indexes may be asked for rows of every space that counts; `passed` is None without a filter."""
    indexes = [view.indexes.get(each.space) for each in query.spaces if each.weight]
    return bool(indexes) and all(
        index is not None and (passed is None or index.serves(passed)) for index in indexes
    )


def _named(view: View, searches: Sequence[_Search], run: Run) -> list[Pairs]:
    """For each part what indexes name, and what may be among the best of the rows that are in no index."""
    counting = [
        number
        for number, _ in enumerate(searches[0].query.spaces)
        if any(each.query.spaces[number].weight for each in searches)
    ]
    indexes = [
        (
            view.indexes[searches[0].query.spaces[number].space],
            np.stack([each.query.spaces[number].vector for each in searches]),
        )
        for number in counting
    ]
    pairs = [
        [found]
        for found in named(
            view.parts,
            indexes,
            [each.depth for each in searches],
            [None if each.query.passing is None else each.masks for each in searches],
        )
    ]
    end_row = min(index.end_row for index, _ in indexes)
    tail = [number for number, part in enumerate(view.parts) if part.first_row + part.size > end_row]
    parts = [view.parts[number] for number in tail]
    masks = [
        [_from(part, each.masks[number], end_row) for number, part in zip(tail, parts, strict=True)]
        for each in searches
    ]
    for survivors in _scanned(view.most_photos, parts, searches, masks, run):
        for part, found in _by_part(survivors):
            pairs[tail[part]].append(found)
    return [_in_order(each) for each in pairs]


def _by_part(survivors: Survivors) -> list[tuple[int, Pairs]]:
    """Pairs of a query and a row for each part that has some, in order of the query."""
    order = np.argsort(survivors.parts, kind="stable")
    parts, starts = np.unique(survivors.parts[order], return_index=True)
    stops = [*starts.tolist(), len(order)][1:]
    return [
        (part, (survivors.queries[order[start:stop]], survivors.rows[order[start:stop]]))
        for part, start, stop in zip(parts.tolist(), starts.tolist(), stops, strict=True)
    ]


def _from(part: Part, mask: Mask | None, row: int) -> Mask | None:
    """What passes of the rows from this number on."""
    before = row - part.first_row
    if before <= 0:
        return mask
    its: Mask = np.ones(part.size, dtype=np.bool_) if mask is None else mask.copy()
    its[:before] = False
    return its


def _in_order(pairs: Sequence[Pairs]) -> Pairs:
    """All pairs of a part, in order of the query."""
    if not pairs:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    queries = np.concatenate([each for each, _ in pairs])
    rows = np.concatenate([each for _, each in pairs])
    if len(pairs) == 1:
        return queries, rows
    order = np.argsort(queries, kind="stable")
    return queries[order], rows[order]


def _answer(view: View, each: _Search, found: Scored) -> tuple[Found, bool]:
    """What a search found, and whether that is all that it wants."""
    query = each.query
    pairs = each.pairs
    if query.excluded:
        pairs = pairs[~np.isin(found.slots[pairs], list(query.excluded))]
    if query.min_score > -inf:
        pairs = pairs[found.keys[pairs] >= round(query.min_score * SCORE_SCALE)]
    ids = _Ids(view.parts, found)
    if query.cap is None:
        pairs = rescoring.best(found, pairs, ids.product_id, query.limit)
        enough = True
    else:
        ranked = rescoring.best(found, pairs, ids.product_id, each.depth)
        pairs = _capped(ranked, query.cap.groups[found.slots[ranked]], query.cap.size)[: query.limit]
        most = min(query.limit, query.cap.reachable)
        # Fewer products than were looked for are all that pass, unless an index was asked.
        everything = each.plan != "index" and len(ranked) < each.depth - len(query.excluded)
        enough = len(pairs) >= most or everything or each.plan == "gather" or each.depth >= view.rows
    answer = Found(
        each.plan,
        each.rows_passed,
        found.slots[pairs],
        *ids.of(pairs),
        found.cosines[:, pairs],
    )
    return answer, enough


def _capped(ranked: Indices, groups: Codes, size: int) -> Indices:
    """Of pairs from the best on, the first `size` of each group, and all without a group."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], groups[order])
    nth: Indices = np.empty(len(groups), dtype=np.int64)
    nth[order] = np.arange(len(groups)) - starts
    return ranked[(nth < size) | (groups < 0)]


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of pairs."""

    parts: Sequence[Part]
    found: Scored

    def product_id(self, pair: int) -> str:
        """Of the product of a pair."""
        return self.parts[int(self.found.parts[pair])].product_ids[int(self.found.rows[pair])]

    def of(self, pairs: Indices) -> tuple[list[str], list[str]]:
        """Of the products, and of the photos within them."""
        # A thousand of them a search: numbers of Python's own are looked up several times as fast.
        places = list(zip(self.found.parts[pairs].tolist(), self.found.rows[pairs].tolist(), strict=True))
        products = [part.product_ids for part in self.parts]
        photos = [part.photo_ids for part in self.parts]
        return [products[part][row] for part, row in places], [photos[part][row] for part, row in places]
