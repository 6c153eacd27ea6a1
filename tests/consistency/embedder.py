"""An embedder that knows the pictures of these tests by their numbers and needs no model.

`python -m tests.consistency.embedder PORT PAUSE_S DIGEST...` serves: the first digest is that of the default
models, the others are served beside them. What is of bulk priority takes `PAUSE_S` a call.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from services.mesh import status, vectors
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.mesh.server import Host, run
from services.mesh.settings import ServiceSettings
from tests.consistency.pictures import DIMENSIONS, number_of, vector_of
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc


class NumberEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self, digests: list[str], pause_s: float) -> None:
        self._digests = digests
        self._pause_s = pause_s

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
            await asyncio.sleep(self._pause_s)
        return embedder_pb2.EmbedImagesResponse(
            embeddings=[self._embedding(image.content, list(request.spaces)) for image in request.images]
        )

    async def EmbedTexts(self, request: Any, context: Any) -> embedder_pb2.EmbedTextsResponse:
        raise FailedPrecondition("no space takes texts")

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
    run(serve(told, NumberEmbedder(sys.argv[3:], float(sys.argv[2]))))
