"""LitServe with its batching on."""

# Whether LitServe is installed where types are checked, and typed, is all one.
# mypy: disable-error-code="import-not-found, import-untyped, misc, unused-ignore"

from __future__ import annotations

import base64
from typing import Any

import litserve
from fastapi import Response
from torch import Tensor

from benchmarks.peers.model import Model, Options, options, preprocess

# The least batch at which the model computes about as fast as it ever does, on the machines it was tried on.
MAX_BATCH = 16
BATCH_TIMEOUT_S = 0.02


class Embedder(litserve.LitAPI):
    """`POST /predict` with the picture in base64 as `image`."""

    def __init__(self, own: Options) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S)
        self._own = own

    def setup(self, device: str) -> None:  # noqa: ARG002 - the framework's signature
        """Loads the model in the worker."""
        self._model = Model(self._own.variant, self._own.models_dir)

    def decode_request(self, request: dict[str, str]) -> Tensor:
        """JSON to pixels."""
        return preprocess(base64.b64decode(request["image"]))

    def predict(self, batch: Tensor) -> Tensor:
        """Pixels to vectors."""
        return self._model.embed(list(batch))

    def encode_response(self, vector: Tensor) -> Any:
        """A vector to the answer."""
        if self._own.variant == "naive":
            return {"embedding": vector.tolist()}
        return Response(vector.numpy().tobytes())


if __name__ == "__main__":
    OPTIONS = options()
    server = litserve.LitServer(Embedder(OPTIONS), accelerator="cpu")
    server.run(host="127.0.0.1", port=OPTIONS.port, log_level="warning", generate_client_file=False)
