"""Metrics of the embedder beyond those of every server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

QUEUE_ITEMS = Gauge("vitrine_embedder_queue_items", "Images and texts admitted and not yet answered.")
BATCH_IMAGES = Histogram(
    "vitrine_embedder_batch_images", "Images in one forward pass.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BAD_ITEMS = Counter("vitrine_embedder_bad_items", "Images and texts that could not be embedded.")
REFUSED_ITEMS = Counter(
    "vitrine_embedder_refused_items", "Images and texts refused because too many were waiting."
)
SPACE_AVAILABLE = Gauge("vitrine_embedder_space_available", "1 where a space has its weights.", ["space"])
