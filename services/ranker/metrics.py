"""What the ranker counts."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.ranker import terms

CANDIDATES = Histogram(
    "vitrine_ranker_candidates",
    "Candidates of one ranking.",
    buckets=(0, 1, 10, 50, 100, 250, 500, 1000),
)
DROPPED = Counter("vitrine_ranker_dropped", "Candidates dropped, by the label that contradicts.", ["reason"])
TERMS = Counter("vitrine_ranker_terms", "Rankings in which a term took part.", ["term"])
DEGRADED = Counter("vitrine_ranker_degraded", "Rankings without some semantic stage.", ["reason"])
CLASSIFIED = Counter("vitrine_ranker_classified", "Vectors that labels were inferred for.")


def declare() -> None:
    """Let every series exist from the start, at zero."""
    DROPPED.labels("gender")
    for reason in ("semantics", "diversity"):
        DEGRADED.labels(reason)
    # Spaces are the caller's, so visual terms are counted as one.
    for term in ("visual", *terms.NAMES):
        TERMS.labels(term)
