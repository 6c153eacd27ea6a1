"""Metrics of the embedder beyond those of every server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.mesh.batching.metrics import ItemMetrics, StageMetrics

ITEMS = ItemMetrics("vitrine_embedder")
DECODE = StageMetrics("vitrine_embedder_decode", "threads")
FORWARD = StageMetrics("vitrine_embedder", "device")
FETCHES = Counter("vitrine_embedder_fetches", "Images fetched by address, by how it ended.", ["outcome"])
SPACE_AVAILABLE = Gauge("vitrine_embedder_space_available", "1 where a space has its weights.", ["space"])
