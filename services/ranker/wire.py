"""Messages of the ranker <-> its own types, with every limit checked on the way in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from services.mesh import vectors
from services.mesh.errors import InvalidArgument
from services.ranker import terms
from services.ranker.candidates import Candidates, Column, Space
from services.ranker.query import KnownLabel
from services.ranker.scoring import Cursor, Ranking
from vitrine.v1 import common_pb2, ranker_pb2

MAX_CANDIDATES = 1000
MAX_SPACES = 8
MAX_COLUMNS = 16
MAX_LABELS = 64
MAX_VALUE_CHARACTERS = 256
# What a code can tell apart.
MAX_VALUES = 2**15
MAX_TEXT_CHARACTERS = 8 * 1000
MAX_WEIGHT = 1000.0
MAX_CLASSIFIED = 256
MAX_REPORTED_DROPS = 100


def read_candidates(message: common_pb2.Candidates) -> Candidates:
    """The columns of a request; raises InvalidArgument naming the field at fault."""
    field = "candidates"
    count = len(message.product_ids)
    if count > MAX_CANDIDATES:
        raise InvalidArgument(f"{field}.product_ids", f"{count} candidates, at most {MAX_CANDIDATES}")
    if len(set(message.product_ids)) != count:
        raise InvalidArgument(f"{field}.product_ids", "a product occurs twice")
    if len(message.photo_ids) != count:
        raise InvalidArgument(f"{field}.photo_ids", f"{len(message.photo_ids)} photos of {count} products")
    if len(message.spaces) > MAX_SPACES:
        raise InvalidArgument(f"{field}.spaces", f"at most {MAX_SPACES} spaces")
    if len(message.labels) > MAX_COLUMNS:
        raise InvalidArgument(f"{field}.labels", f"at most {MAX_COLUMNS} columns")
    spaces = [
        _read_space(space, count, f"{field}.spaces[{index}]") for index, space in enumerate(message.spaces)
    ]
    if len({space.name for space in spaces}) != len(spaces):
        raise InvalidArgument(f"{field}.spaces", "a space occurs twice")
    columns = {
        column.name: _read_column(column, count, f"{field}.labels[{index}]")
        for index, column in enumerate(message.labels)
    }
    if len(columns) != len(message.labels):
        raise InvalidArgument(f"{field}.labels", "a name occurs twice")
    return Candidates(list(message.product_ids), spaces, columns)


def _read_space(message: common_pb2.SpaceScores, count: int, field: str) -> Space:
    if len(message.cosines) != 4 * count:
        raise InvalidArgument(f"{field}.cosines", f"{len(message.cosines)} bytes for {count} candidates")
    cosines = np.frombuffer(message.cosines, dtype="<f4").astype(np.float64)
    if np.isinf(cosines).any():
        raise InvalidArgument(f"{field}.cosines", "has infinite numbers")
    if not math.isfinite(message.neutral):
        raise InvalidArgument(f"{field}.neutral", "is not finite")
    return Space(message.space, message.neutral, cosines)


def _read_column(message: common_pb2.LabelColumn, count: int, field: str) -> Column:
    if len(message.codes) != 2 * count:
        raise InvalidArgument(f"{field}.codes", f"{len(message.codes)} bytes for {count} candidates")
    if len(message.probabilities) != 4 * count:
        raise InvalidArgument(
            f"{field}.probabilities", f"{len(message.probabilities)} bytes for {count} candidates"
        )
    if len(message.values) > MAX_VALUES:
        raise InvalidArgument(f"{field}.values", f"{len(message.values)} values, at most {MAX_VALUES}")
    if any(len(value) > MAX_VALUE_CHARACTERS for value in message.values):
        raise InvalidArgument(f"{field}.values", f"a value has more than {MAX_VALUE_CHARACTERS} characters")
    codes = np.frombuffer(message.codes, dtype="<i2").astype(np.int64)
    if ((codes < -1) | (codes >= len(message.values))).any():
        raise InvalidArgument(f"{field}.codes", f"has codes outside of -1 to {len(message.values) - 1}")
    probabilities = np.frombuffer(message.probabilities, dtype="<f4").astype(np.float64)
    if not ((codes < 0) | ((probabilities >= 0) & (probabilities <= 1))).all():
        raise InvalidArgument(f"{field}.probabilities", "has numbers outside of 0 to 1")
    # Where nothing is known there is no probability either, whatever was sent.
    return Column(tuple(message.values), codes, np.where(codes < 0, 0.0, probabilities))


def read_labels(message: ranker_pb2.RankQuery) -> list[KnownLabel]:
    """The labels that came with a query; a probability that was not given means that it is stated."""
    if len(message.labels) > MAX_LABELS:
        raise InvalidArgument("query.labels", f"at most {MAX_LABELS} labels")
    for index, label in enumerate(message.labels):
        if not 0 <= label.probability <= 1:
            raise InvalidArgument(f"query.labels[{index}].probability", "must be 0 to 1")
        if len(label.value) > MAX_VALUE_CHARACTERS:
            raise InvalidArgument(
                f"query.labels[{index}].value", f"has more than {MAX_VALUE_CHARACTERS} characters"
            )
    return [KnownLabel(label.name, label.value, label.probability or 1.0) for label in message.labels]


def read_text(message: ranker_pb2.RankQuery) -> str:
    """The text of a query, which may be empty."""
    if len(message.text) > MAX_TEXT_CHARACTERS:
        raise InvalidArgument("query.text", f"more than {MAX_TEXT_CHARACTERS} characters")
    return message.text


def read_weights(message: common_pb2.Profile) -> Mapping[str, float]:
    """The weights of a profile; raises InvalidArgument for unknown terms and senseless weights."""
    for name, weight in message.weights.items():
        if name not in terms.NAMES and not name.startswith(terms.VISUAL):
            raise InvalidArgument("profile.weights", f"there is no term {name!r}")
        if not 0 <= weight <= MAX_WEIGHT:
            raise InvalidArgument("profile.weights", f"the weight of {name!r} must be 0 to {MAX_WEIGHT:g}")
    if not any(message.weights.values()):
        raise InvalidArgument("profile.weights", "no term has a weight")
    return dict(message.weights)


def read_limit(request: ranker_pb2.RankRequest) -> int:
    """How many to return."""
    if not 1 <= request.limit <= MAX_CANDIDATES:
        raise InvalidArgument("limit", f"must be 1 to {MAX_CANDIDATES}")
    return request.limit


def read_cursor(request: ranker_pb2.RankRequest) -> Cursor | None:
    """Where the page starts, None for the top."""
    if not request.HasField("after"):
        return None
    if not math.isfinite(request.after.score):
        raise InvalidArgument("after.score", "is not finite")
    return Cursor(request.after.score, request.after.product_id)


def read_vectors(request: ranker_pb2.ClassifyRequest) -> tuple[vectors.Floats, str]:
    """The vectors to classify, float32 [n, dimension], and the digest of the model that made them all."""
    if not 1 <= len(request.vectors) <= MAX_CLASSIFIED:
        raise InvalidArgument(
            "vectors", f"{len(request.vectors)} vectors, 1 to {MAX_CLASSIFIED} are expected"
        )
    digest = request.vectors[0].model_digest
    dimension: int | None = None
    rows = []
    for index, message in enumerate(request.vectors):
        if message.model_digest != digest:
            raise InvalidArgument(f"vectors[{index}].model_digest", "differs from that of vectors[0]")
        rows.append(vectors.decode(message, field=f"vectors[{index}]", dimension=dimension))
        dimension = len(rows[0])
    return np.stack(rows), digest


def write_ranking(
    ranking: Ranking, candidates: Candidates, *, explain: bool
) -> tuple[list[ranker_pb2.RankedCandidate], list[ranker_pb2.DroppedCandidate]]:
    """The hits in order, and the first drops; terms and drops only to `explain`."""
    ranked = [
        ranker_pb2.RankedCandidate(
            index=place,
            score=float(ranking.scores[place]),
            terms=_write_terms(ranking, place) if explain else (),
        )
        for place in ranking.order
    ]
    dropped = [
        ranker_pb2.DroppedCandidate(product_id=candidates.product_ids[drop.place], reason=drop.reason)
        for drop in ranking.dropped[: MAX_REPORTED_DROPS if explain else 0]
    ]
    return ranked, dropped


def _write_terms(ranking: Ranking, place: int) -> list[common_pb2.ScoreTerm]:
    return [
        common_pb2.ScoreTerm(
            name=term.name,
            value=float(term.values[place]),
            weight=term.weight,
            contribution=term.weight * float(term.values[place]),
            absent=bool(term.absent[place]),
        )
        for term in ranking.terms
    ]


def write_labels(labels: list[KnownLabel]) -> list[common_pb2.Label]:
    """Labels as messages."""
    return [
        common_pb2.Label(name=label.name, value=label.value, probability=label.probability)
        for label in labels
    ]
