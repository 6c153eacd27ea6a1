"""Metrics of the embedder beyond those of every server."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from services.embedder.images import BAD_BOX
from services.mesh.batching.metrics import ItemMetrics, StageMetrics
from services.mesh.pictures.decoding import DAMAGED_IMAGE, EMPTY_IMAGE, IMAGE_TOO_LARGE, NOT_AN_IMAGE

ITEMS = ItemMetrics(
    "vitrine_embedder", bad_reasons=(EMPTY_IMAGE, NOT_AN_IMAGE, DAMAGED_IMAGE, IMAGE_TOO_LARGE, BAD_BOX)
)
DECODE = StageMetrics("vitrine_embedder_decode", "threads")
FORWARD = StageMetrics("vitrine_embedder", "device")
FETCHES = Counter("vitrine_embedder_fetches", "Images fetched by address, by how it ended.", ["outcome"])
EMBEDDED = Counter("vitrine_embedder_embedded", "Items embedded: `images` or `texts`.", ["kind"])
VECTORS = Counter("vitrine_embedder_vectors", "Vectors made, by space.", ["space"])
SPACE_AVAILABLE = Gauge("vitrine_embedder_space_available", "1 where a space has its weights.", ["space"])
STARTUP_SECONDS = Gauge(
    "vitrine_embedder_startup_seconds", "From the start of the process until it could first embed."
)

KINDS = ("images", "texts")


def declare(spaces: Iterable[str]) -> None:
    """Let every series exist from the start, at zero."""
    for kind in KINDS:
        EMBEDDED.labels(kind)
    for space in spaces:
        VECTORS.labels(space)
    FETCHES.labels("OK")
