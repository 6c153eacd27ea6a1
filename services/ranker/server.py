"""The ranker over gRPC: messages in, pure functions, messages out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc.aio

from services.mesh.errors import FailedPrecondition
from services.mesh.server import Host
from services.ranker import arrangement, metrics, scoring, terms, wire
from services.ranker.candidates import Candidates
from services.ranker.photos import SEMANTIC_SPACE, Photo
from services.ranker.query import KnownLabel, Neighbours, believe, neighbours
from services.ranker.semantics import Library
from services.ranker.settings import RankerSettings
from vitrine.v1 import ranker_pb2, ranker_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_INFERRED_FOR = {"gender": terms.GENDER, "category": terms.CATEGORY}


class RankerServicer(ranker_pb2_grpc.RankerServiceServicer):
    """See ranker.proto."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def Rank(self, request: ranker_pb2.RankRequest, _context: Context) -> ranker_pb2.RankResponse:
        """Score, order, page."""
        candidates = wire.read_candidates(request.candidates)
        weights = wire.read_weights(request.profile)
        limit = wire.read_limit(request)
        after = wire.read_cursor(request)
        offset = wire.read_offset(request)
        wanted = wire.read_arrangement(request, candidates)
        photo, field = wire.read_query_photo(request.query), wire.clip_field(request.query)
        inference = _Inference(self._library, photo, field, weights)
        text = wire.read_text(request.query)
        if request.beliefs:
            query = wire.read_beliefs(request.beliefs, text)
        else:
            query = believe(
                text,
                wire.read_labels(request.query),
                candidates,
                inference.of,
                inference.neighbours(candidates),
            )
        if wanted.is_plain:
            ranking = scoring.rank(candidates, query, weights, limit=limit, after=after)
        else:
            ranking = scoring.rank(candidates, query, weights, limit=len(candidates))
            ranking = arrangement.arranged(ranking, candidates, wanted, depth=offset + limit)
            ranking = arrangement.page(ranking, candidates, limit=limit, after=after, offset=offset)
        degraded = [*inference.degraded, *wanted.lacking(candidates)]
        _count(len(candidates), ranking, degraded)
        ranked, dropped = wire.write_ranking(ranking, candidates, explain=request.explain)
        return ranker_pb2.RankResponse(
            ranked=ranked,
            more=ranking.more,
            dropped=dropped,
            query_labels=wire.write_labels(query.labels()),
            best_possible_score=ranking.best_possible_score,
            dropped_count=len(ranking.dropped),
            degraded=degraded,
            beliefs=wire.write_beliefs(query) if ranking.more else (),
        )

    async def Classify(
        self, request: ranker_pb2.ClassifyRequest, _context: Context
    ) -> ranker_pb2.ClassifyResponse:
        """Labels from probes and prompts."""
        photos = wire.read_photos(request)
        field = "photos" if request.photos else "vectors"
        classifications = [ranker_pb2.Classification() for _ in photos]
        places = [place for place, photo in enumerate(photos) if SEMANTIC_SPACE in photo.vectors]
        if places:
            # In each space all are of one model and of one dimension: what is wrong is wrong of the first.
            first = f"{field}[{places[0]}]"
            digest = photos[places[0]].digests[SEMANTIC_SPACE]
            semantics = self._library.of(digest, field=f"{first}.model_digest")
            found = semantics.classify([photos[place] for place in places], field=first)
            for place, labels in zip(places, found, strict=True):
                known = [KnownLabel(task, *label) for task, label in labels.items()]
                classifications[place].labels.extend(wire.write_labels(known))
        metrics.CLASSIFIED.inc(len(places))
        return ranker_pb2.ClassifyResponse(classifications=classifications)


class _Inference:
    """What the query's photo shows, asked for at need; a model without prompts degrades the answer.

    `field` is where its vector in `clip` came.
    """

    def __init__(self, library: Library, photo: Photo, field: str, weights: Mapping[str, float]) -> None:
        self._library = library
        self._weights = weights
        self._photo = photo
        self._field = field
        self.degraded: list[str] = []

    def of(self, task: str) -> Mapping[str, float]:
        """The probability of each label of a task; empty when it cannot be told, or when nobody uses it."""
        if SEMANTIC_SPACE not in self._photo.vectors or not self._weights.get(_INFERRED_FOR[task]):
            return {}
        digest = self._photo.digests[SEMANTIC_SPACE]
        try:
            semantics = self._library.of(digest, field=f"{self._field}.model_digest")
        except FailedPrecondition:
            self.degraded = ["semantics"]
            return {}
        return semantics.distribution(task, self._photo, field=self._field)

    def neighbours(self, candidates: Candidates) -> Neighbours | None:
        """What the candidates tell of the photo, where there is one and anything is asked of it."""
        if not self._photo.vectors or not any(self._weights.get(name) for name in terms.INFERRED):
            return None
        return neighbours(
            candidates,
            {
                name.removeprefix(terms.VISUAL): weight
                for name, weight in self._weights.items()
                if name.startswith(terms.VISUAL)
            },
        )


def _count(candidates: int, ranking: scoring.Ranking, degraded: list[str]) -> None:
    metrics.CANDIDATES.observe(candidates)
    for term in {"visual" if term.name.startswith(terms.VISUAL) else term.name for term in ranking.terms}:
        metrics.TERMS.labels(term).inc()
    metrics.DROPPED.labels(ranking.dropped.label).inc(len(ranking.dropped))
    for reason in degraded:
        metrics.DEGRADED.labels(reason).inc()


async def main(settings: RankerSettings) -> None:
    """Serve until told to stop."""
    metrics.declare()
    host = Host(settings, "ranker")
    servicer = RankerServicer(Library(settings.models_dir))
    host.add(
        ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
        lambda server: ranker_pb2_grpc.add_RankerServiceServicer_to_server(servicer, server),
    )
    await host.start()
    host.serving()
    await host.wait()
