"""An embedder that needs no weights: `python -m tests.faults.cheap_embedder` prints its port and serves.

Everything but the models is the real thing. The space `colour` is a picture's mean colour, `bare` has no
weights.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from services.embedder import selection
from services.embedder.engine import Vectors
from services.embedder.fetching import Fetcher, FetchLimits
from services.embedder.images import ImageLimits, Pixels
from services.embedder.pipeline import Pipeline
from services.embedder.server import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.embedder.towers import Batch, Space, Towers
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.errors import FailedPrecondition
from services.mesh.server import Host
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc

MAX_IMAGES = 64
# Small, so that no picture within the limits takes much memory by itself.
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
_CALLS_WAITING = 16


class MeanColour:
    """Stands for `services.embedder.engine.Engine`."""

    image_size = 8
    pass_items = 16
    passes = 2
    spaces = (
        Space("colour", "mean", 3, accepts_text=False, digest="c0" * 32, device="cpu", dtype="float32"),
        Space("bare", "none", 3, accepts_text=False, unavailable_reason="no weights here"),
    )

    def image_models(self, names: Sequence[str]) -> tuple[str, ...]:
        loaded = [Towers(self.spaces[0], images=_never), Towers(self.spaces[1])]
        return tuple(each.space.name for each in selection.for_images(names, loaded))

    @property
    def usual_image_models(self) -> list[tuple[str, ...]]:
        return [("colour",)]

    def text_models(self, names: Sequence[str]) -> tuple[str, ...]:
        raise FailedPrecondition("no space takes texts")

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        means = np.stack([image.reshape(-1, 3).mean(axis=0) for image in images]) + 1e-3
        return {"colour": (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)}


def _never(batch: Batch) -> Tensor:
    raise NotImplementedError


async def serve() -> None:
    host = Host(EmbedderSettings(port=0, max_message_bytes=64 << 20), "embedder")
    engine = MeanColour()
    pipeline = Pipeline(
        engine,  # type: ignore[arg-type]  # what the pipeline uses of an engine
        limits=LIMITS,
        decode_threads=2,
        admission=AdmissionLimits(_CALLS_WAITING * MAX_IMAGES, 256 << 20),
        fetcher=Fetcher(FetchLimits()),
    )
    servicer = EmbedderServicer(pipeline, engine.spaces, max_images=MAX_IMAGES, max_texts=1)
    host.add(
        embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server),
    )
    port = await host.start()
    await pipeline.warm_up()
    await host.serving()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await host.wait()
    pipeline.close()


if __name__ == "__main__":
    asyncio.run(serve())
