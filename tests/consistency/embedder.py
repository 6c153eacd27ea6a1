"""An embedder that knows the pictures of these tests by their numbers and needs no model.

`python -m tests.consistency.embedder PORT GATE DIGEST...` serves: the first digest is that of the default
models, the others are served beside them. With a `GATE`, a path, the first call for nothing but a new
generation is answered, and those after it once there is a file of that name.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.mesh import status, vectors
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.mesh.server import Host, run
from services.mesh.settings import ServiceSettings
from tests.consistency.pictures import DIMENSIONS, number_of, vector_of
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

_POLL_S = 0.05


class NumberEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self, digests: list[str], gate: Path | None = None) -> None:
        self._digests = digests
        self._gate = gate
        self._has_built = False

    async def ListModels(self, request: Any, context: Any) -> embedder_pb2.ListModelsResponse:
        return embedder_pb2.ListModelsResponse(
            models=[
                embedder_pb2.ModelInfo(
                    spec=common_pb2.SpaceSpec(space=space, model_digest=digest, dimension=dimension),
                    default=digest == self._digests[0],
                )
                for digest in self._digests
                for space, dimension in DIMENSIONS.items()
            ]
        )

    async def EmbedImages(self, request: Any, context: Any) -> embedder_pb2.EmbedImagesResponse:
        if request.priority == embedder_pb2.PRIORITY_BULK:
            await self._pass_gate(request.spaces)
        return embedder_pb2.EmbedImagesResponse(
            embeddings=[self._embedding(image.content, list(request.spaces)) for image in request.images]
        )

    async def EmbedTexts(self, request: Any, context: Any) -> embedder_pb2.EmbedTextsResponse:
        raise FailedPrecondition("no space takes texts")

    async def _pass_gate(self, models: Sequence[str]) -> None:
        # A product that is written meanwhile needs vectors for the generation in use as well.
        if self._gate is None or {model.partition("@")[2] for model in models} != {self._digests[0]}:
            return
        is_first, self._has_built = not self._has_built, True
        while not is_first and not self._gate.exists():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(_POLL_S)

    def _embedding(self, content: bytes, models: list[str]) -> embedder_pb2.Embedding:
        wanted = [model.partition("@") for model in models]
        for space, _, digest in wanted:
            if digest not in self._digests:
                raise FailedPrecondition(f"no model {space}@{digest}", reason="MODEL_MISSING")
        try:
            number = number_of(content)
        except OSError:
            return embedder_pb2.Embedding(status=status.to_item(InvalidArgument("image", "is not a picture")))
        return embedder_pb2.Embedding(
            vectors=[
                vectors.encode(vector_of(number, space, digest), space=space, model_digest=digest)
                for space, _, digest in wanted
            ]
        )


async def serve(settings: ServiceSettings, servicer: NumberEmbedder) -> None:
    """Be an embedder until told to stop."""
    host = Host(settings, "embedder")
    host.add(
        embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server),
    )
    await host.start()
    host.serving()
    await host.wait()


if __name__ == "__main__":
    told = ServiceSettings(port=int(sys.argv[1]), metrics_port=0)
    run(serve(told, NumberEmbedder(sys.argv[3:], Path(sys.argv[2]) if sys.argv[2] else None)))
