"""The embedder's gRPC face: proto -> pipeline -> proto."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio
import structlog

from services.embedder import metrics
from services.embedder.engine import Engine, name_of
from services.embedder.pipeline import Outcome, Picture, Pipeline
from services.embedder.settings import EmbedderSettings
from services.embedder.towers import Space
from services.mesh import stages
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.batching.call import Priority
from services.mesh.errors import InvalidArgument, VitrineError
from services.mesh.fetch.fetching import Fetcher, FetchLimits
from services.mesh.metrics import process_age_s
from services.mesh.pictures.decoding import ImageLimits
from services.mesh.server import Host
from services.mesh.stages import StageClock
from services.mesh.status import to_item
from services.mesh.vectors import encode
from services.mesh.watch import watch
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

# Of one call: every space in several models, and their names with whole digests.
MAX_SPACES = 32
MAX_SPACE_CHARACTERS = 160

_SWITCH_INTERVAL_S = 2e-5

_log = structlog.get_logger(__name__)


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Implements vitrine.v1.EmbedderService."""

    def __init__(
        self, pipeline: Pipeline, spaces: Sequence[Space], *, max_images: int, max_texts: int
    ) -> None:
        self._pipeline = pipeline
        self._spaces = spaces
        self._by_name = {name_of(space): space for space in spaces}
        self._max_images = max_images
        self._max_texts = max_texts

    async def EmbedImages(
        self,
        request: embedder_pb2.EmbedImagesRequest,
        _context: Context,
    ) -> embedder_pb2.EmbedImagesResponse:
        """Pictures to vectors; see the proto."""
        _check_count("images", len(request.images), self._max_images)
        _check_spaces(request.spaces)
        clock = StageClock()
        pictures = [_picture(image) for image in request.images]
        outcomes = await self._pipeline.embed_images(
            pictures, request.spaces, _priority(request.priority), clock
        )
        embeddings = [self._embedding(outcome) for outcome in outcomes]
        return embedder_pb2.EmbedImagesResponse(embeddings=embeddings, stages=clock.timings)

    async def EmbedTexts(
        self,
        request: embedder_pb2.EmbedTextsRequest,
        _context: Context,
    ) -> embedder_pb2.EmbedTextsResponse:
        """Texts to vectors; see the proto."""
        _check_count("texts", len(request.texts), self._max_texts)
        _check_spaces(request.spaces)
        clock = StageClock()
        outcomes = await self._pipeline.embed_texts(
            request.texts, request.spaces, _priority(request.priority), clock
        )
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
                    preprocessing=_preprocessing(space),
                    memory_bytes=space.memory_bytes,
                    default=space.default,
                    card=space.card,
                )
                for space in self._spaces
            ]
        )

    def _embedding(self, outcome: Outcome) -> embedder_pb2.Embedding:
        if isinstance(outcome, VitrineError):
            return embedder_pb2.Embedding(status=to_item(outcome))
        return embedder_pb2.Embedding(
            vectors=[
                encode(vector, space=self._by_name[name].name, model_digest=self._by_name[name].digest)
                for name, vector in outcome.items()
            ]
        )


async def serve(settings: EmbedderSettings, engine_type: Callable[..., Engine] = Engine) -> None:
    """Run the embedder until it is told to stop. `engine_type` is called as `Engine` is."""
    host = Host(settings, "embedder")
    stages.declare(("fetch", "decode", "queue", "forward"))
    directories = [path.expanduser() for path in (settings.models_dir, *settings.more_models_dirs)]
    engine = await asyncio.to_thread(engine_type, *directories, device=settings.device, dtype=settings.dtype)
    metrics.declare(space.name for space in engine.spaces)
    for space in engine.spaces:
        if space.default:
            metrics.SPACE_AVAILABLE.labels(space.name).set(not space.unavailable_reason)
        if space.unavailable_reason:
            _log.warning("space unavailable", space=name_of(space), reason=space.unavailable_reason)
    fetcher = Fetcher(
        FetchLimits(max_bytes=settings.max_image_bytes, timeout_s=settings.fetch_timeout_s),
        allowed_hosts=settings.fetch_allowed_hosts,
    )
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
    # Each operation of a forward pass gives the interpreter up and wants it back, for which it waits until
    # the thread that serves callers has nothing to do, or for this long. Measured with that thread half busy:
    # 92 images a second at the default of 5 ms, 124 at this, 120 with as busy a process beside.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # What is loaded now stays: the collector need not look at it again and again while callers wait.
    gc.collect()
    gc.freeze()
    host.serving()
    metrics.STARTUP_SECONDS.set(process_age_s())
    host.run_beside(watch(host, pipeline.stages))
    await host.wait()
    pipeline.close()
    await fetcher.aclose()


def _check_count(field: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InvalidArgument(field, f"wanted 1 to {most}, got {count}")


def _check_spaces(names: Sequence[str]) -> None:
    if len(names) > MAX_SPACES or any(len(name) > MAX_SPACE_CHARACTERS for name in names):
        raise InvalidArgument(
            "spaces", f"wanted at most {MAX_SPACES} names of at most {MAX_SPACE_CHARACTERS} characters"
        )


def _priority(priority: int) -> Priority:
    return Priority.BULK if priority == int(embedder_pb2.PRIORITY_BULK) else Priority.INTERACTIVE


def _picture(image: common_pb2.Image) -> Picture:
    box = image.box
    corners = (box.left, box.top, box.right, box.bottom) if image.HasField("box") else None
    return Picture(image.content, image.uri, corners)


def _preprocessing(space: Space) -> embedder_pb2.Preprocessing | None:
    if space.preprocessing is None:
        return None
    how = space.preprocessing
    return embedder_pb2.Preprocessing(image_size=how.image_size, mean=how.mean, std=how.std)
