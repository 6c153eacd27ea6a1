"""What the embedder's answers tell: that they hold vectors, and how long each stage took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.embedder.photos import DIM
from vitrine.v1 import embedder_pb2

# Float32.
_VECTOR_BYTES = 4 * DIM


def stages_ms(answers: Sequence[bytes]) -> dict[str, float]:
    """The median milliseconds of each stage over serialised answers to requests of one picture each.

    Raises RuntimeError for an answer that is no vector: a fast error is no throughput.
    """
    times: dict[str, list[float]] = {}
    for data in answers:
        answer = embedder_pb2.EmbedImagesResponse.FromString(data)
        sizes = [len(vector.data) for item in answer.embeddings for vector in item.vectors]
        if sizes != [_VECTOR_BYTES]:
            raise RuntimeError(f"wanted one vector of {_VECTOR_BYTES} bytes, got {sizes}")
        for stage in answer.stages:
            times.setdefault(stage.stage, []).append(stage.duration_ms)
    return {stage: round(float(np.median(durations)), 2) for stage, durations in times.items()}
