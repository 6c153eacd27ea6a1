"""Requests with an id of the caller's: done once, and answered again from what was kept (AIP-155)."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from services.mesh import names
from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.v1 import catalog_pb2 as pb

_DIGEST_BYTES = 16


Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Under which key the outcome of a request is kept, and the digest of what it asked for."""

    key: str
    digest: bytes

    def sealed(self, answer: Message) -> bytes:
        """An answer as it is kept."""
        return self.digest + answer.SerializeToString()

    def opened(self, outcome: bytes, kind: type[Answer]) -> Answer:
        """The answer that was kept; raises FailedPrecondition when another request had the same id."""
        if outcome[:_DIGEST_BYTES] != self.digest:
            raise FailedPrecondition("another request had the same request_id", reason="REQUEST_ID_REUSED")
        return kind.FromString(outcome[_DIGEST_BYTES:])


Request = TypeVar(
    "Request",
    pb.BatchUpsertProductsRequest,
    pb.CreateProductRequest,
    pb.UpdateProductRequest,
    pb.DeleteProductRequest,
)


def request_key(catalog: str, request: Request) -> RequestKey | None:
    """The key of a request about a catalogue; None when it has no id.

    Raises InvalidArgument when it is not a UUID.
    """
    if not request.request_id:
        return None
    try:
        request_id = uuid.UUID(request.request_id)
    except ValueError as error:
        raise InvalidArgument("request_id", "is not a UUID") from error
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("request_id")
    digest = hashlib.blake2b(request.DESCRIPTOR.full_name.encode(), digest_size=_DIGEST_BYTES)
    digest.update(asked.SerializeToString(deterministic=True))
    return RequestKey(f"{names.catalog_name(catalog)}/requests/{request_id}", digest.digest())
