"""The embedder's gRPC face: proto -> pipeline -> proto."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc.aio
import structlog

from services.embedder import metrics
from services.embedder.engine import Engine
from services.embedder.images import ImageLimits
from services.embedder.pipeline import Outcome, Picture, Pipeline
from services.embedder.settings import EmbedderSettings
from services.embedder.towers import Space
from services.mesh import stages
from services.mesh.errors import InvalidArgument
from services.mesh.server import Host
from services.mesh.stages import StageClock
from services.mesh.status import to_item
from services.mesh.vectors import encode
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger(__name__)


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Implements vitrine.v1.EmbedderService."""

    def __init__(
        self, pipeline: Pipeline, spaces: Sequence[Space], *, max_images: int, max_texts: int
    ) -> None:
        self._pipeline = pipeline
        self._spaces = {space.name: space for space in spaces}
        self._max_images = max_images
        self._max_texts = max_texts

    async def EmbedImages(
        self,
        request: embedder_pb2.EmbedImagesRequest,
        _context: Context,
    ) -> embedder_pb2.EmbedImagesResponse:
        """Pictures to vectors; see the proto."""
        _check_count("images", len(request.images), self._max_images)
        clock = StageClock()
        pictures = [_picture(image) for image in request.images]
        outcomes = await self._pipeline.embed_images(pictures, list(request.spaces), clock)
        embeddings = [self._embedding(outcome) for outcome in outcomes]
        return embedder_pb2.EmbedImagesResponse(embeddings=embeddings, stages=clock.timings)

    async def EmbedTexts(
        self,
        request: embedder_pb2.EmbedTextsRequest,
        _context: Context,
    ) -> embedder_pb2.EmbedTextsResponse:
        """Texts to vectors; see the proto."""
        _check_count("texts", len(request.texts), self._max_texts)
        clock = StageClock()
        outcomes = await self._pipeline.embed_texts(list(request.texts), list(request.spaces), clock)
        embeddings = [self._embedding(outcome) for outcome in outcomes]
        return embedder_pb2.EmbedTextsResponse(embeddings=embeddings, stages=clock.timings)

    async def ListModels(
        self,
        _request: embedder_pb2.ListModelsRequest,
        _context: Context,
    ) -> embedder_pb2.ListModelsResponse:
        """The spaces there are, and why others are missing; see the proto."""
        return embedder_pb2.ListModelsResponse(
            models=[
                embedder_pb2.ModelInfo(
                    spec=common_pb2.SpaceSpec(
                        space=space.name,
                        model_digest=space.digest,
                        dimension=space.dim,
                        accepts_text=space.accepts_text,
                        model=space.model,
                    ),
                    device=space.device,
                    dtype=space.dtype,
                    unavailable_reason=space.unavailable_reason,
                )
                for space in self._spaces.values()
            ]
        )

    def _embedding(self, outcome: Outcome) -> embedder_pb2.Embedding:
        if isinstance(outcome, InvalidArgument):
            return embedder_pb2.Embedding(status=to_item(outcome))
        return embedder_pb2.Embedding(
            vectors=[
                encode(vector, space=name, model_digest=self._spaces[name].digest)
                for name, vector in outcome.items()
            ]
        )


async def serve(settings: EmbedderSettings) -> None:
    """Run the embedder until it is told to stop."""
    host = Host(settings, "embedder")
    stages.declare(("decode", "queue", "forward"))
    engine = await asyncio.to_thread(
        Engine, settings.models_dir.expanduser(), device=settings.device, dtype=settings.dtype
    )
    for space in engine.spaces:
        metrics.SPACE_AVAILABLE.labels(space.name).set(not space.unavailable_reason)
        if space.unavailable_reason:
            _log.warning("space unavailable", space=space.name, reason=space.unavailable_reason)
    pipeline = Pipeline(
        engine,
        limits=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
        decode_threads=settings.decode_threads,
        max_queued_items=settings.max_queued_images,
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


def _check_count(field: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InvalidArgument(field, f"wanted 1 to {most}, got {count}")


def _picture(image: common_pb2.Image) -> Picture:
    box = image.box
    if not image.HasField("box"):
        return Picture(image.content)
    return Picture(image.content, (box.left, box.top, box.right, box.bottom))
