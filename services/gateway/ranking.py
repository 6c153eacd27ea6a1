"""The final order: the ranker's, or the visual order where it is away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc.aio
import numpy as np
import structlog
from google.protobuf.message import DecodeError

from services.gateway import upstream
from services.gateway.candidates import capped, group_values, visual_scores
from services.gateway.paging import MAX_BELIEF_BYTES
from services.gateway.products import Vectors
from services.gateway.query import Query
from services.gateway.query_vectors import QueryVectors
from services.gateway.threshold import most_shortfall
from services.mesh.errors import DeadlineExceeded, InvalidArgument, Unavailable, VitrineError
from services.mesh.profiles import VISUAL
from vitrine.v1 import common_pb2, ranker_pb2, ranker_pb2_grpc, vectorsearch_pb2

_log = structlog.get_logger()

MAX_PHOTOS_A_CALL = 256
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Ranking:
    """A page of candidates in order; `ranked` is False where the visual order stands in."""

    response: ranker_pb2.RankResponse
    ranked: bool


class Ranker:
    """A client of the ranker."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float) -> None:
        self._stub = ranker_pb2_grpc.RankerServiceStub(channel)
        self._timeout_s = timeout_s

    async def rank(self, query: Query, found: QueryVectors, candidates: common_pb2.Candidates) -> Ranking:
        """The page of `candidates` that the query asks for.

        Raises Unavailable when the page before was in the ranker's order and the ranker is away: in the
        visual order products would repeat.
        """
        if query.position is not None and not query.position.ranked:
            return Ranking(visual_order(query, candidates), ranked=False)
        request = ranker_pb2.RankRequest(
            query=ranker_pb2.RankQuery(
                text=query.text, labels=found.labels, clip_vector=found.clip, photo_vectors=found.photo
            ),
            candidates=candidates,
            profile=query.profile,
            limit=query.k,
            after=query.position.cursor if query.position else None,
            explain=query.explain,
            max_shortfall=_max_shortfall(query),
            group_by=query.group_by,
            diversity=query.diversity,
            offset=query.offset,
            beliefs=_beliefs(query),
        )
        try:
            response = await upstream.ask("ranker", self._stub.Rank, request, timeout_s=self._timeout_s)
        except DeadlineExceeded:
            raise
        except VitrineError as error:
            _log.warning("ranker failed", error=error.message, reason=error.reason)
            if query.position is not None:
                raise Unavailable(
                    "the ranker, which made the page before, is away", reason="RANKER_UNAVAILABLE"
                ) from error
            return Ranking(visual_order(query, candidates), ranked=False)
        return Ranking(response, ranked=True)

    async def classify(self, photos: Sequence[Vectors], *, timeout_s: float) -> list[list[common_pb2.Label]]:
        """The labels of each photo, given as its vectors.

        Raises FailedPrecondition (reason SEMANTICS_MISSING) when the ranker has no prompts for the model.
        """
        labels: list[list[common_pb2.Label]] = []
        for start in range(0, len(photos), MAX_PHOTOS_A_CALL):
            request = ranker_pb2.ClassifyRequest(
                photos=[
                    vectorsearch_pb2.PhotoVectors(vectors=photo)
                    for photo in photos[start : start + MAX_PHOTOS_A_CALL]
                ]
            )
            response = await upstream.ask("ranker", self._stub.Classify, request, timeout_s=timeout_s)
            labels += [list(each.labels) for each in response.classifications]
        return labels


def visual_order(query: Query, candidates: common_pb2.Candidates) -> ranker_pb2.RankResponse:
    """A page by the weighted sum of cosines alone: descending score, ties by product id.

    The threshold and the cap on groups hold; there is no diversity.
    """
    scores = np.round(visual_scores(candidates), DIGITS).tolist()
    best = sum(space.weight for space in candidates.spaces)
    max_shortfall = _max_shortfall(query)
    order = sorted(
        (-score, product_id, index)
        for index, (score, product_id) in enumerate(zip(scores, candidates.product_ids, strict=True))
        if max_shortfall is None or best - score <= max_shortfall
    )
    if query.group_by is not None:
        values = group_values([candidates], query.group_by.attribute)
        kept = set(capped((each[2] for each in order), values, query.group_by.size))
        order = [each for each in order if each[2] in kept]
    if query.position is not None:
        after = (-query.position.score, query.position.product_id)
        order = [each for each in order if each[:2] > after]
    page = order[: query.k]
    columns = [(space, np.frombuffer(space.cosines, "<f4")) for space in candidates.spaces]
    return ranker_pb2.RankResponse(
        ranked=[
            ranker_pb2.RankedCandidate(
                index=index,
                score=-negated,
                terms=[_term(space, float(cosines[index])) for space, cosines in columns]
                if query.explain
                else (),
            )
            for negated, _, index in page
        ],
        more=len(order) > len(page),
        best_possible_score=best,
    )


def hits(
    response: ranker_pb2.RankResponse, candidates: common_pb2.Candidates
) -> Iterator[tuple[str, str, ranker_pb2.RankedCandidate]]:
    """Product, photo and rank of each candidate of a page."""
    for ranked in response.ranked:
        yield candidates.product_ids[ranked.index], candidates.photo_ids[ranked.index], ranked


def beliefs_of(response: ranker_pb2.RankResponse) -> bytes:
    """What the ranker believed of a query, for the next page; nothing where that is too much for a token."""
    data = ranker_pb2.RankResponse(beliefs=response.beliefs).SerializeToString(deterministic=True)
    return data if len(data) <= MAX_BELIEF_BYTES else b""


def _beliefs(query: Query) -> Sequence[ranker_pb2.RankBelief]:
    """What the ranker believed of the query for the page before; raises InvalidArgument for what is none."""
    if query.position is None or not query.position.beliefs:
        return ()
    try:
        return ranker_pb2.RankResponse.FromString(query.position.beliefs).beliefs
    except DecodeError as error:
        raise InvalidArgument("page_token", "is not a page token of a search") from error


def _max_shortfall(query: Query) -> float | None:
    if not query.min_similarity:
        return None
    return most_shortfall(query.min_similarity, query.kind, query.profile.name)


def _term(space: common_pb2.SpaceScores, cosine: float) -> common_pb2.ScoreTerm:
    absent = bool(np.isnan(cosine))
    value = space.neutral if absent else cosine
    return common_pb2.ScoreTerm(
        name=f"{VISUAL}{space.space}",
        value=value,
        weight=space.weight,
        contribution=value * space.weight,
        absent=absent,
    )
