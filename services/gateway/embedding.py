"""Vectors from the embedder, checked to be of the catalogue's generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc.aio

from services.gateway import upstream
from services.mesh import status
from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

MAX_IMAGES_A_CALL = 64
MAX_BYTES_A_CALL = 32 << 20


class Embedder:
    """A client of the embedder."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = embedder_pb2_grpc.EmbedderServiceStub(channel)

    async def models(self, *, timeout_s: float) -> list[embedder_pb2.ModelInfo]:
        """The default model of each space, and the spaces that it lacks."""
        return [model for model in await self.all_models(timeout_s=timeout_s) if model.default]

    async def all_models(self, *, timeout_s: float) -> list[embedder_pb2.ModelInfo]:
        """As `models`, with those that are served beside the defaults."""
        response = await upstream.ask(
            "embedder", self._stub.ListModels, embedder_pb2.ListModelsRequest(), timeout_s=timeout_s
        )
        return list(response.models)

    async def images(
        self,
        images: Sequence[common_pb2.Image],
        specs: Sequence[common_pb2.SpaceSpec],
        *,
        priority: embedder_pb2.Priority.ValueType,
        timeout_s: float,
    ) -> list[embedder_pb2.Embedding]:
        """As `photos`; raises whatever went wrong with a picture that is not the picture's own fault."""
        embeddings = await self.photos(images, specs, priority=priority, timeout_s=timeout_s)
        _check_luck(embeddings)
        return embeddings

    async def photos(
        self,
        images: Sequence[common_pb2.Image],
        specs: Sequence[common_pb2.SpaceSpec],
        *,
        priority: embedder_pb2.Priority.ValueType,
        timeout_s: float,
    ) -> list[embedder_pb2.Embedding]:
        """One embedding a picture, some with a status that tells why they have no vectors.

        INVALID_ARGUMENT is the picture's own fault, anything else is not. Raises FailedPrecondition (reason
        MODEL_MISMATCH) when the embedder has other models than `specs`.
        """
        embeddings: list[embedder_pb2.Embedding] = []
        for call in _calls(images):
            request = embedder_pb2.EmbedImagesRequest(images=call, spaces=_models(specs), priority=priority)
            with _as_mismatch():
                response = await upstream.ask(
                    "embedder", self._stub.EmbedImages, request, timeout_s=timeout_s
                )
            _check(response.embeddings, specs)
            embeddings += response.embeddings
        return embeddings

    async def texts(
        self, texts: Sequence[str], specs: Sequence[common_pb2.SpaceSpec], *, timeout_s: float
    ) -> list[embedder_pb2.Embedding]:
        """One embedding a text; otherwise as for images."""
        request = embedder_pb2.EmbedTextsRequest(texts=texts, spaces=_models(specs))
        with _as_mismatch():
            response = await upstream.ask("embedder", self._stub.EmbedTexts, request, timeout_s=timeout_s)
        embeddings = list(response.embeddings)
        _check(embeddings, specs)
        _check_luck(embeddings)
        return embeddings


def image_field(error: InvalidArgument, image: common_pb2.Image) -> str:
    """The field of `image` that the embedder's error about it is to be read as."""
    if error.field in ("box", "uri"):
        return error.field
    return "uri" if image.uri else "content"


def _calls(images: Sequence[common_pb2.Image]) -> list[list[common_pb2.Image]]:
    """Pictures in calls that the embedder takes."""
    calls: list[list[common_pb2.Image]] = []
    size_bytes = 0
    for image in images:
        size_bytes += len(image.content)
        if not calls or len(calls[-1]) == MAX_IMAGES_A_CALL or size_bytes > MAX_BYTES_A_CALL:
            calls.append([])
            size_bytes = len(image.content)
        calls[-1].append(image)
    return calls


def _models(specs: Sequence[common_pb2.SpaceSpec]) -> list[str]:
    """The generation's own models, which need not be the embedder's defaults any more."""
    return [f"{spec.space}@{spec.model_digest}" for spec in specs]


@contextmanager
def _as_mismatch() -> Iterator[None]:
    """A model that the embedder does not have (any more) is a matter of the catalogue's generation."""
    try:
        yield
    except FailedPrecondition as error:
        if error.reason == "MODEL_MISSING":
            raise FailedPrecondition(error.message, reason="MODEL_MISMATCH") from error
        raise


def _check(embeddings: Sequence[embedder_pb2.Embedding], specs: Sequence[common_pb2.SpaceSpec]) -> None:
    wanted = {(spec.space, spec.model_digest) for spec in specs}
    for embedding in embeddings:
        if embedding.status.code:
            continue
        if {(each.space, each.model_digest) for each in embedding.vectors} != wanted:
            raise FailedPrecondition(
                "the embedder has other models than the catalogue's generation", reason="MODEL_MISMATCH"
            )


def _check_luck(embeddings: Sequence[embedder_pb2.Embedding]) -> None:
    """A picture that was merely unlucky must not pass for one that is none."""
    for embedding in embeddings:
        if embedding.status.code:
            error = status.from_item(embedding.status)
            if not isinstance(error, InvalidArgument):
                raise error
