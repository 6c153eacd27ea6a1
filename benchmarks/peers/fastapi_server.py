"""A FastAPI endpoint that calls the model once a request, in the framework's thread pool."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Response

from benchmarks.peers.model import Model, Options, options, preprocess


def application(own: Options) -> FastAPI:
    """`POST /embed` with the multipart file `image`."""
    model = Model(own.variant, own.models_dir)
    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    if own.variant == "naive":

        @app.post("/embed")
        def embed(image: Annotated[bytes, File()]) -> dict[str, list[float]]:
            return {"embedding": model.embed([preprocess(image)])[0].tolist()}

    else:

        @app.post("/embed")
        def embed_bytes(image: Annotated[bytes, File()]) -> Response:
            return Response(model.embed([preprocess(image)])[0].numpy().tobytes())

    return app


if __name__ == "__main__":
    OPTIONS = options()
    uvicorn.run(application(OPTIONS), host="127.0.0.1", port=OPTIONS.port, log_level="warning")
