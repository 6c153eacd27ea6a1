"""The ranker over gRPC: messages in, pure functions, messages out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc.aio

from services.mesh import vectors
from services.mesh.errors import FailedPrecondition
from services.mesh.server import Host
from services.ranker import metrics, scoring, terms, wire
from services.ranker.query import KnownLabel, believe
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
        inference = _Inference(self._library, request.query, weights)
        query = believe(
            wire.read_text(request.query), wire.read_labels(request.query), candidates, inference.of
        )
        ranking = scoring.rank(candidates, query, weights, limit=limit, after=after)
        _count(len(candidates), ranking, inference.degraded)
        ranked, dropped = wire.write_ranking(ranking, candidates, explain=request.explain)
        return ranker_pb2.RankResponse(
            ranked=ranked,
            more=ranking.more,
            dropped=dropped,
            query_labels=wire.write_labels(query.labels()),
            best_possible_score=ranking.best_possible_score,
            dropped_count=len(ranking.dropped),
            degraded=inference.degraded,
        )

    async def Classify(
        self, request: ranker_pb2.ClassifyRequest, _context: Context
    ) -> ranker_pb2.ClassifyResponse:
        """Labels from prompts."""
        rows, digest = wire.read_vectors(request)
        prompts = self._library.of(digest, field="vectors[0].model_digest")
        labels = prompts.classify(rows, field="vectors")
        metrics.CLASSIFIED.inc(len(rows))
        return ranker_pb2.ClassifyResponse(
            classifications=[
                ranker_pb2.Classification(
                    labels=wire.write_labels([KnownLabel(task, *label) for task, label in found.items()])
                )
                for found in labels
            ]
        )


class _Inference:
    """What the query's photo shows, asked for at need; a model without prompts degrades the answer."""

    def __init__(self, library: Library, query: ranker_pb2.RankQuery, weights: Mapping[str, float]) -> None:
        self._library = library
        self._weights = weights
        self._message = query.clip_vector if query.HasField("clip_vector") else None
        self.degraded: list[str] = []

    def of(self, task: str) -> Mapping[str, float]:
        """The probability of each label of a task; empty when it cannot be told, or when nobody uses it."""
        if self._message is None or not self._weights.get(_INFERRED_FOR[task]):
            return {}
        vector = vectors.decode(self._message, field="query.clip_vector")
        try:
            prompts = self._library.of(self._message.model_digest, field="query.clip_vector.model_digest")
        except FailedPrecondition:
            self.degraded = ["semantics"]
            return {}
        return prompts.distribution(task, vector, field="query.clip_vector")


def _count(candidates: int, ranking: scoring.Ranking, degraded: list[str]) -> None:
    metrics.CANDIDATES.observe(candidates)
    for term in {"visual" if term.name.startswith(terms.VISUAL) else term.name for term in ranking.terms}:
        metrics.TERMS.labels(term).inc()
    for drop in ranking.dropped:
        metrics.DROPPED.labels(drop.label).inc()
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
    await host.serving()
    await host.wait()
