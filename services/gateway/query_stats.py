"""What the queries of a catalogue add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vitrine.v1 import queries_pb2, search_pb2

TOP_TEXTS = 20
# Beyond so many different texts only those already seen are counted on; of each, so many characters.
MAX_TEXTS = 50_000
MAX_TEXT_CHARACTERS = 200

_CACHED = frozenset({search_pb2.CACHE_OUTCOME_HIT, search_pb2.CACHE_OUTCOME_SHARED})
_ENGAGED = frozenset(
    {
        queries_pb2.FEEDBACK_KIND_CLICK,
        queries_pb2.FEEDBACK_KIND_LIKE,
        queries_pb2.FEEDBACK_KIND_ADD_TO_CART,
        queries_pb2.FEEDBACK_KIND_PURCHASE,
    }
)


class QuerySums:
    """Queries, given in any order and number, summed up."""

    def __init__(self) -> None:
        self._latencies_ms: list[float] = []
        self._zero_results = 0
        self._cached = 0
        self._degraded = 0
        self._engaged = 0
        self._reciprocal_ranks: list[float] = []
        self._texts: Counter[str] = Counter()
        self._texts_without_hits: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many queries there were."""
        return len(self._latencies_ms)

    def add(self, queries: Iterable[queries_pb2.LoggedQuery]) -> None:
        """Count some more."""
        for query in queries:
            self._latencies_ms.append(query.latency_ms)
            self._cached += query.cache in _CACHED
            self._degraded += bool(query.degraded)
            texts = {_normal(text) for text in query.texts}
            _count(self._texts, texts)
            if not query.hit_count:
                self._zero_results += 1
                _count(self._texts_without_hits, texts)
            if query.feedback:
                self._add_feedback(query.feedback)

    def response(self) -> queries_pb2.QueryStatsResponse:
        """The sums; a percentile is the least latency that so many queries did not exceed."""
        found = queries_pb2.QueryStatsResponse(
            query_count=self.count,
            zero_result_count=self._zero_results,
            cached_count=self._cached,
            degraded_count=self._degraded,
            engaged_count=self._engaged,
            top_texts=_top(self._texts),
            top_zero_result_texts=_top(self._texts_without_hits),
        )
        if self._latencies_ms:
            p50, p95, p99 = np.percentile(self._latencies_ms, (50, 95, 99), method="inverted_cdf")
            found.latency_p50_ms, found.latency_p95_ms, found.latency_p99_ms = p50, p95, p99
        if self._reciprocal_ranks:
            found.mean_reciprocal_rank = float(np.mean(self._reciprocal_ranks))
        return found

    def _add_feedback(self, feedback: Sequence[queries_pb2.Feedback]) -> None:
        engaged = [given for given in feedback if given.kind in _ENGAGED]
        self._engaged += bool(engaged)
        places = [given.place for given in engaged if given.place]
        if places:
            self._reciprocal_ranks.append(1 / min(places))


def _normal(text: str) -> str:
    """A text as it is counted: case and spaces make no difference."""
    return " ".join(text.split()).casefold()[:MAX_TEXT_CHARACTERS]


def _count(counts: Counter[str], texts: Iterable[str]) -> None:
    for text in texts:
        if len(counts) < MAX_TEXTS or text in counts:
            counts[text] += 1


def _top(counts: Counter[str]) -> list[queries_pb2.TextCount]:
    most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:TOP_TEXTS]
    return [queries_pb2.TextCount(text=text, count=count) for text, count in most]
