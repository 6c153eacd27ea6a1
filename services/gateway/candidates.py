"""Candidates of several shards made into one list: columns stay columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from vitrine.v1 import common_pb2, vectorsearch_pb2

Scores = npt.NDArray[np.float64]

MAX_FACET_VALUES = 100

# Shards compare scores in millionths.
_SCORE_SCALE = 1e6

_INFERRED = "inferred."


def visual_scores(candidates: common_pb2.Candidates) -> Scores:
    """The weighted sum of cosines, neutral where there is no vector: float64 of shape [candidates]."""
    total = np.zeros(len(candidates.product_ids), np.float64)
    for space in candidates.spaces:
        total += space.weight * _values(space)
    return total


def merged(
    shards: Sequence[common_pb2.Candidates],
    limit: int,
    group_by: vectorsearch_pb2.GroupBy | None = None,
    vectors_limit: int = 0,
) -> common_pb2.Candidates:
    """The best `limit` candidates of all shards in descending order, ties by product id, each product once.

    Every shard's candidates are in that order already, which the sort finds and merges. `group_by` caps the
    products that share a value, as every shard has done with its own; the values are read from the label
    column of that name, so the request must have asked for it. The first `vectors_limit` keep their vectors.
    """
    if len(shards) == 1 and len(shards[0].product_ids) <= limit:
        return shards[0]
    product_ids = [product_id for shard in shards for product_id in shard.product_ids]
    photo_ids = [photo_id for shard in shards for photo_id in shard.photo_ids]
    negated = np.concatenate([-np.rint(visual_scores(shard) * _SCORE_SCALE) for shard in shards]).tolist()
    order = sorted(zip(negated, product_ids, range(len(product_ids)), strict=True))
    first_of = {product_id: row for _, product_id, row in reversed(order)}
    best: Iterable[int] = (row for _, product_id, row in order if first_of[product_id] == row)
    if group_by is not None:
        best = capped(best, group_values(shards, group_by.attribute), group_by.size)
    rows = list(islice(best, limit))
    take = np.array(rows, np.int64)
    return common_pb2.Candidates(
        product_ids=[product_ids[row] for row in rows],
        photo_ids=[photo_ids[row] for row in rows],
        spaces=_merged_spaces(shards, take),
        labels=_merged_labels(shards, take),
        vectors=_merged_vectors(shards, take[:vectors_limit]),
    )


def merged_facets(
    shards: Sequence[Sequence[common_pb2.Facet]], attributes: Sequence[str]
) -> list[common_pb2.Facet]:
    """Counts of all shards added up: the most frequent values first, ties by value; ranges by size."""
    counts: dict[str, Counter[bytes]] = {attribute: Counter() for attribute in attributes}
    ranges: dict[str, Counter[tuple[float, float]]] = {attribute: Counter() for attribute in attributes}
    for facets in shards:
        for facet in facets:
            for value in facet.values:
                counts[facet.attribute][value.value.SerializeToString(deterministic=True)] += value.count
            for each in facet.ranges:
                ranges[facet.attribute][each.min, each.max] += each.count
    return [
        common_pb2.Facet(
            attribute=attribute,
            values=_most_frequent(counter),
            ranges=[
                common_pb2.FacetRange(min=low, max=high, count=count)
                for (low, high), count in sorted(ranges[attribute].items())
            ],
        )
        for attribute, counter in counts.items()
    ]


def capped(rows: Iterable[int], values: Sequence[str | None], size: int) -> Iterator[int]:
    """The rows without those whose value `size` rows before them have; None is no value."""
    seen: Counter[str] = Counter()
    for row in rows:
        value = values[row]
        if value is not None:
            seen[value] += 1
            if seen[value] > size:
                continue
        yield row


def group_values(shards: Sequence[common_pb2.Candidates], attribute: str) -> list[str | None]:
    """The value of every candidate, None where it has none."""
    # A label column falls back on what was inferred, with a lower probability; a group is of what is stated.
    least = 0.0 if attribute.startswith(_INFERRED) else 1.0
    values: list[str | None] = []
    for shard in shards:
        column = next((column for column in shard.labels if column.name == attribute), None)
        if column is None:
            values += [None] * len(shard.product_ids)
            continue
        codes = np.frombuffer(column.codes, "<i2").tolist()
        probabilities = np.frombuffer(column.probabilities, "<f4").tolist()
        values += [
            column.values[code] if code >= 0 and probability >= least else None
            for code, probability in zip(codes, probabilities, strict=True)
        ]
    return values


def _most_frequent(counter: Counter[bytes]) -> list[common_pb2.FacetValue]:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [
        common_pb2.FacetValue(value=common_pb2.AttributeValue.FromString(value), count=count)
        for value, count in ordered[:MAX_FACET_VALUES]
    ]


def _values(space: common_pb2.SpaceScores) -> Scores:
    cosines = np.frombuffer(space.cosines, "<f4").astype(np.float64)
    return np.where(np.isnan(cosines), space.neutral, cosines)


def _merged_spaces(
    shards: Sequence[common_pb2.Candidates], take: npt.NDArray[np.int64]
) -> list[common_pb2.SpaceScores]:
    """The same spaces come from every shard, in the order of the query; an empty shard may have none."""
    first = next((shard for shard in shards if shard.spaces), None)
    spaces = []
    for index, space in enumerate(first.spaces if first else ()):
        cosines = np.concatenate(
            [np.frombuffer(shard.spaces[index].cosines if shard.spaces else b"", "<f4") for shard in shards]
        )
        spaces.append(
            common_pb2.SpaceScores(
                space=space.space, weight=space.weight, neutral=space.neutral, cosines=cosines[take].tobytes()
            )
        )
    return spaces


def _merged_vectors(
    shards: Sequence[common_pb2.Candidates], take: npt.NDArray[np.int64]
) -> common_pb2.CandidateVectors | None:
    """The vectors of the rows of `take`, NaN for one that came without; None where no shard has any."""
    first = next((shard.vectors for shard in shards if shard.HasField("vectors")), None)
    if first is None:
        return None
    given = [
        np.frombuffer(shard.vectors.rows, "<f2").reshape(-1, first.dimension)
        if shard.HasField("vectors")
        else np.empty((0, first.dimension), "<f2")
        for shard in shards
    ]
    # The place of each row's vector among all of them; the last is that of rows without.
    places = np.full(sum(len(shard.product_ids) for shard in shards), -1, np.int64)
    start = end = 0
    for shard, its in zip(shards, given, strict=True):
        places[start : start + len(its)] = np.arange(end, end + len(its))
        start += len(shard.product_ids)
        end += len(its)
    table = np.concatenate([*given, np.full((1, first.dimension), np.nan, "<f2")])
    return common_pb2.CandidateVectors(
        space=first.space, dimension=first.dimension, rows=table[places[take]].tobytes()
    )


def _merged_labels(
    shards: Sequence[common_pb2.Candidates], take: npt.NDArray[np.int64]
) -> list[common_pb2.LabelColumn]:
    names = dict.fromkeys(column.name for shard in shards for column in shard.labels)
    columns = []
    for name in names:
        values: dict[str, int] = {}
        codes, probabilities = [], []
        for shard in shards:
            column = next((column for column in shard.labels if column.name == name), None)
            if column is None:
                codes.append(np.full(len(shard.product_ids), -1, np.int16))
                probabilities.append(np.zeros(len(shard.product_ids), np.float32))
                continue
            # Code -1, nothing known, takes the last place and so stays -1.
            recoded = np.array(
                [*(values.setdefault(value, len(values)) for value in column.values), -1], np.int16
            )
            codes.append(recoded[np.frombuffer(column.codes, "<i2")])
            probabilities.append(np.frombuffer(column.probabilities, "<f4"))
        columns.append(
            common_pb2.LabelColumn(
                name=name,
                values=list(values),
                codes=np.concatenate(codes)[take].astype("<i2").tobytes(),
                probabilities=np.concatenate(probabilities)[take].astype("<f4").tobytes(),
            )
        )
    return columns
