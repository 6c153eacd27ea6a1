"""The embedder with an engine that keeps a record of every batch it is given.

    python -m benchmarks.embedder.recording RECORD [flags of services.embedder]

All that is to be adapted when the embedder is put together in another way is in this module.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.embedder.record import Record
from services.embedder.engine import Engine, Vectors
from services.embedder.fetching import Fetcher, FetchLimits
from services.embedder.images import ImageLimits, Pixels
from services.embedder.pipeline import Pipeline
from services.embedder.server import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.server import Host, run
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc


class RecordingEngine(Engine):
    """An Engine that writes down what it is given before it computes."""

    def __init__(self, models_dir: Path, record: Path) -> None:
        super().__init__(models_dir)
        self._record = Record(record)

    def embed_images(
        self, images: Pixels | Sequence[Pixels], names: Sequence[str] = ()
    ) -> dict[str, Vectors]:
        """As Engine's."""
        self._record.add(list(images))
        return super().embed_images(images, names)


async def _serve(settings: EmbedderSettings, record: Path) -> None:
    """`services.embedder.server.serve` with the engine that records."""
    host = Host(settings, "embedder")
    engine = await asyncio.to_thread(RecordingEngine, settings.models_dir.expanduser(), record)
    fetcher = Fetcher(FetchLimits(max_bytes=settings.max_image_bytes, timeout_s=settings.fetch_timeout_s))
    pipeline = Pipeline(
        engine,
        limits=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
        decode_threads=settings.decode_threads,
        admission=AdmissionLimits(settings.max_queued_items, settings.max_queued_bytes),
        fetcher=fetcher,
    )
    servicer = EmbedderServicer(
        pipeline, engine.spaces, max_images=settings.max_batch_images, max_texts=settings.max_batch_texts
    )
    host.add(
        embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server),
    )
    await host.start()
    await pipeline.warm_up()
    await host.serving()
    await host.wait()
    pipeline.close()
    await fetcher.aclose()


if __name__ == "__main__":
    run(_serve(EmbedderSettings.load(sys.argv[2:]), Path(sys.argv[1])))
