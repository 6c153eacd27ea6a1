"""Messages of the ranker <-> its own types, with every limit checked on the way in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from services.mesh import vectors
from services.mesh.errors import InvalidArgument
from services.mesh.vectors import Floats
from services.ranker import terms
from services.ranker.arrangement import DIVERSE, Arrangement, Cap, Variety
from services.ranker.candidates import Candidates, Column, Space
from services.ranker.photos import SEMANTIC_SPACE, Photo
from services.ranker.query import Belief, KnownLabel, Query, Source
from services.ranker.scoring import Cursor, Ranking
from services.ranker.taxonomy import FAMILIES, GENDERS
from services.ranker.text import understand
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
MAX_GROUP_SIZE = 100

# Sums of probabilities may be off by so much.
_ROUNDING = 1e-6

# The labels that the shares of a belief are of; of others the taxonomy has no labels.
_LABELS: Mapping[str, tuple[str, ...]] = {"gender": GENDERS, "category": FAMILIES, "type": (), "colour": ()}


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


def read_offset(request: ranker_pb2.RankRequest) -> int:
    """How many hits came before the page, in an order that is not by score; 0 in one that is."""
    if not 0 <= request.offset <= MAX_CANDIDATES:
        raise InvalidArgument("offset", f"must be 0 to {MAX_CANDIDATES}")
    if request.offset and not request.diversity:
        raise InvalidArgument("offset", "is for an order with diversity")
    if request.diversity and request.HasField("after"):
        raise InvalidArgument("after", "is for an order without diversity")
    return request.offset


def read_arrangement(request: ranker_pb2.RankRequest, candidates: Candidates) -> Arrangement:
    """What is asked of the order besides the score."""
    if math.isnan(request.max_shortfall):
        raise InvalidArgument("max_shortfall", "is not a number")
    if not 0 <= request.diversity <= 1:
        raise InvalidArgument("diversity", "must be 0 to 1")
    variety = None
    if request.diversity:
        variety = Variety(request.diversity, _read_candidate_vectors(request.candidates))
    return Arrangement(
        max_shortfall=request.max_shortfall if request.HasField("max_shortfall") else None,
        cap=_read_cap(request, candidates) if request.HasField("group_by") else None,
        variety=variety,
    )


def _read_cap(request: ranker_pb2.RankRequest, candidates: Candidates) -> Cap:
    attribute, size = request.group_by.attribute, request.group_by.size
    if attribute not in candidates.labels:
        raise InvalidArgument("group_by.attribute", "is not among the label columns")
    if not 1 <= size <= MAX_GROUP_SIZE:
        raise InvalidArgument("group_by.size", f"must be 1 to {MAX_GROUP_SIZE}")
    return Cap(attribute, size)


def _read_candidate_vectors(message: common_pb2.Candidates) -> Floats | None:
    """The vectors of the first candidates, float32 [m, dimension], NaN for one without; None for none."""
    field = "candidates.vectors"
    if not message.HasField("vectors"):
        return None
    dimension = message.vectors.dimension
    if not 1 <= dimension <= vectors.MAX_DIMENSION:
        raise InvalidArgument(f"{field}.dimension", f"must be 1 to {vectors.MAX_DIMENSION}")
    count, rest = divmod(len(message.vectors.rows), 2 * dimension)
    if rest or count > min(DIVERSE, len(message.product_ids)):
        raise InvalidArgument(
            f"{field}.rows",
            f"{len(message.vectors.rows)} bytes for the first {DIVERSE} of {len(message.product_ids)}",
        )
    rows = np.frombuffer(message.vectors.rows, dtype="<f2").astype(np.float32).reshape(count, dimension)
    if np.isinf(rows).any():
        raise InvalidArgument(f"{field}.rows", "has infinite numbers")
    return None if np.isnan(rows).all() else rows


def read_query_photo(message: ranker_pb2.RankQuery) -> Photo:
    """What the query's photo looks like; without vectors where there is none."""
    photo = _read_photo(message.photo_vectors, "query.photo_vectors")
    if not message.HasField("clip_vector"):
        return photo
    clip = vectors.decode(message.clip_vector, field="query.clip_vector")
    return Photo(
        {**photo.vectors, SEMANTIC_SPACE: clip},
        {**photo.digests, SEMANTIC_SPACE: message.clip_vector.model_digest},
    )


def clip_field(message: ranker_pb2.RankQuery) -> str:
    """Where in a query its photo's vector in `clip` came, if it came."""
    spaces = [vector.space for vector in message.photo_vectors]
    if message.HasField("clip_vector") or SEMANTIC_SPACE not in spaces:
        return "query.clip_vector"
    return f"query.photo_vectors[{spaces.index(SEMANTIC_SPACE)}]"


def read_photos(request: ranker_pb2.ClassifyRequest) -> list[Photo]:
    """The photos to classify; in each space all vectors are of one model and of one dimension."""
    if request.photos and request.vectors:
        raise InvalidArgument("vectors", "are given beside photos")
    field = "photos" if request.photos else "vectors"
    count = len(request.photos or request.vectors)
    if not 1 <= count <= MAX_CLASSIFIED:
        raise InvalidArgument(field, f"{count} {field}, 1 to {MAX_CLASSIFIED} are expected")
    photos = [
        _read_photo(photo.vectors, f"photos[{index}].vectors") for index, photo in enumerate(request.photos)
    ]
    for index, message in enumerate(request.vectors):
        vector = vectors.decode(message, field=f"vectors[{index}]")
        photos.append(Photo({SEMANTIC_SPACE: vector}, {SEMANTIC_SPACE: message.model_digest}))
    _check_alike(photos, field)
    return photos


def _read_photo(messages: Sequence[common_pb2.Vector], field: str) -> Photo:
    if len(messages) > MAX_SPACES:
        raise InvalidArgument(field, f"at most {MAX_SPACES} vectors")
    photo: dict[str, Floats] = {}
    for index, message in enumerate(messages):
        if not message.space or message.space in photo:
            raise InvalidArgument(f"{field}[{index}].space", "is missing, or occurs twice")
        photo[message.space] = vectors.decode(message, field=f"{field}[{index}]")
    return Photo(photo, {message.space: message.model_digest for message in messages})


def _check_alike(photos: Sequence[Photo], field: str) -> None:
    first: dict[str, tuple[int, Photo]] = {}
    for index, photo in enumerate(photos):
        for space, vector in photo.vectors.items():
            before, other = first.setdefault(space, (index, photo))
            where = f"{field}[{index}]" if field == "vectors" else f"{field}[{index}].vectors"
            if photo.digests[space] != other.digests[space]:
                raise InvalidArgument(f"{where}.model_digest", f"differs from that of {field}[{before}]")
            expected = len(other.vectors[space])
            if len(vector) != expected:
                raise InvalidArgument(
                    f"{where}.data", f"{len(vector)} dimensions where {expected} are expected"
                )


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
        for drop in ranking.dropped.first(MAX_REPORTED_DROPS if explain else 0)
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


def write_beliefs(query: Query) -> list[ranker_pb2.RankBelief]:
    """All that is believed of a query, to be read again with its next page."""
    beliefs = {name: getattr(query, name) for name in _LABELS}
    return [_write_belief(name, belief) for name, belief in beliefs.items() if belief is not None]


def _write_belief(name: str, belief: Belief) -> ranker_pb2.RankBelief:
    return ranker_pb2.RankBelief(
        name=name,
        source=int(belief.source),
        shares=belief.shares.tolist(),
        values=belief.values,
        probability=belief.probability,
        voted=belief.votes is not None,
        votes=[
            ranker_pb2.RankVote(value=value, share=share) for value, share in (belief.votes or {}).items()
        ],
        heard=belief.heard,
    )


def read_beliefs(messages: Sequence[ranker_pb2.RankBelief], text: str) -> Query:
    """What was believed of a query for the page before, with the words of its text.

    Raises InvalidArgument naming the field at fault.
    """
    beliefs = {}
    for index, message in enumerate(messages):
        field = f"beliefs[{index}]"
        if message.name not in _LABELS or message.name in beliefs:
            raise InvalidArgument(f"{field}.name", f"must be one of {', '.join(_LABELS)}, each once")
        beliefs[message.name] = _read_belief(message, field)
    return Query(**beliefs, terms=understand(text).terms)


def _read_belief(message: ranker_pb2.RankBelief, field: str) -> Belief:
    if message.source not in set(Source):
        raise InvalidArgument(f"{field}.source", "there is no such source")
    if len(message.shares) not in (0, len(_LABELS[message.name])):
        raise InvalidArgument(f"{field}.shares", "must be one for each label of the taxonomy")
    if len(message.values) > MAX_LABELS or len(message.votes) > MAX_VALUES:
        raise InvalidArgument(f"{field}.values", "too many")
    votes = {vote.value: vote.share for vote in message.votes}
    numbers = (*message.shares, message.probability, message.heard, *votes.values())
    # Spellings of one word have its votes each, but none has more than all.
    if not all(math.isfinite(number) and 0 <= number <= 1 + _ROUNDING for number in numbers):
        raise InvalidArgument(field, "a probability is from 0 to 1")
    return Belief(
        Source(message.source),
        np.array(message.shares, np.float64),
        tuple(message.values),
        message.probability,
        votes if message.voted else None,
        message.heard,
    )
