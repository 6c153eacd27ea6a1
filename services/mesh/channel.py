"""Channels to other services, and calls that carry the deadline and the trace.

A call goes through `call` rather than a client interceptor: those cost a task a call in grpc.aio.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from services.mesh import deadline, trace
from services.mesh.status import from_rpc_error

Request = TypeVar("Request")
Response = TypeVar("Response")
Connect = Callable[[str], grpc.aio.Channel]
"""Makes a channel to a target."""

# The server consents to pings this often (`services.mesh.server`); more frequent ones would get GOAWAY.
KEEPALIVE_S = 30.0

MAX_MESSAGE_BYTES = 64 << 20

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Retries stop when more than about half of the calls fail, so that they never drown a service that
    # struggles.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


def options(*, retries: bool) -> list[tuple[str, Any]]:
    """Channel options. Only the outermost caller retries: retries of retries multiply."""
    service_config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        service_config |= _RETRIES
    return [
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.enable_retries", int(retries)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1e3)),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        # A service that has just been restarted is found again within this time.
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # How long a connection may take to be made, whatever its name says: a busy machine is not away.
        ("grpc.min_reconnect_backoff_ms", 5_000),
    ]


def credentials(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """TLS for a channel, from PEM files.

    The server's certificate has to be of an authority in `ca`, or of one that gRPC ships with when None, and
    for the name or address in the target. `certificate`, a chain, and its `key` are shown to a server that
    asks who calls (mTLS). Raises OSError when a file cannot be read.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=ca.read_bytes() if ca else None,
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )


def connect(
    target: str, *, retries: bool = False, tls: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """A channel to `target` (`127.0.0.1:50052`, `dns:///embedder:50051`), connected when first used.

    It is encrypted with `tls`, which see `credentials`, and plain text without.
    """
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options(retries=retries))
    return grpc.aio.secure_channel(target, tls, options=options(retries=retries))


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, *, timeout_s: float
) -> Response:
    """Call a unary RPC within `timeout_s` and what remains of the deadline of the request in hand.

    Raises the domain error that the service answered with.
    """
    try:
        return await method(
            request, timeout=deadline.remaining_s(timeout_s), metadata=((trace.HEADER, trace.header()),)
        )
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def stream(
    method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request, *, key: str = ""
) -> AsyncIterator[Response]:
    """The responses of a server-streaming RPC, without a deadline of its own.

    `key` says who calls, to a service that asks. Raises the domain error that the service ended it with.
    """
    metadata = [(trace.HEADER, trace.header())]
    if key:
        metadata.append(("authorization", f"Bearer {key}"))
    try:
        async for response in method(request, metadata=metadata):
            yield response
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
