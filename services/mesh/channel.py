"""Channels to other services, and calls that carry the deadline and the trace.

A call goes through `call` rather than a client interceptor: those cost a task a call in grpc.aio.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import grpc
import grpc.aio

from services.mesh import deadline, trace
from services.mesh.status import from_rpc_error

Request = TypeVar("Request")
Response = TypeVar("Response")


class Connect(Protocol):
    """Makes a channel to a target; `server_name` see `connect`."""

    def __call__(self, target: str, *, server_name: str = "") -> grpc.aio.Channel:
        """The channel."""
        ...


# The server consents to pings this often (`services.mesh.server`); more frequent ones would get GOAWAY.
KEEPALIVE_S = 30.0
# A peer that has not answered a ping by then is gone.
PONG_S = 20.0

MAX_MESSAGE_BYTES = 64 << 20

_RETRIES = {
    "name": [{}],
    "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        # A server that ends answers CANCELLED to calls that it has received and not begun, and to those that
        # outlast its drain.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    },
}
# A failure takes a token, a success brings one back, and there are no retries at half of the tokens or fewer.
# So they go on while up to half of the tries fail, as some do while servers are replaced, and through about
# 50 failures on end, such as a server may leave behind; one that is down gets no more than those on top of
# its calls. gRPC reads a whole number as no ratio at all: it is written with its decimal.
_THROTTLING = {"maxTokens": 100, "tokenRatio": 1.0}

# What channels were made to, for the spans of calls on them.
_targets: WeakKeyDictionary[grpc.aio.Channel, str] = WeakKeyDictionary()


def options(*, retries: bool, once: Sequence[str] = ()) -> list[tuple[str, Any]]:
    """Channel options. Only the outermost caller retries: retries of retries multiply.

    Methods in `once`, by their paths (`/vitrine.v1.AccessService/CreateApiKey`), are not retried: what was
    done twice would not be the same, and a failure does not tell whether it was done.
    What no server has begun is sent again by everybody ("transparent retries", gRFC A6): calls that meet the
    end of an aged connection would fail else.
    """
    service_config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        # A method goes by the entry that names it, which for these says nothing of retries.
        named = [dict(zip(("service", "method"), path[1:].split("/"), strict=True)) for path in once]
        methods = [_RETRIES, {"name": named}] if named else [_RETRIES]
        service_config |= {"methodConfig": methods, "retryThrottling": _THROTTLING}
    return [
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1e3)),
        ("grpc.keepalive_timeout_ms", int(PONG_S * 1e3)),
        # gRPC waits for the longer of both, and this one is else a minute.
        ("grpc.http2.ping_timeout_ms", int(PONG_S * 1e3)),
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
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
    target: str,
    *,
    retries: bool = False,
    once: Sequence[str] = (),
    tls: grpc.ChannelCredentials | None = None,
    server_name: str = "",
) -> grpc.aio.Channel:
    """A channel to `target` (`127.0.0.1:50052`, `dns:///embedder:50051`), connected when first used.

    `retries` and `once` see `options`. It is encrypted with `tls`, which see `credentials`, and plain text
    without. The server's certificate has to be for `server_name` where one is given: a target that is an
    address behind a name is verified by it.
    """
    made_with = options(retries=retries, once=once)
    if tls is None:
        channel = grpc.aio.insecure_channel(target, options=made_with)
    else:
        named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        channel = grpc.aio.secure_channel(target, tls, options=made_with + named)
    _targets[channel] = target
    return channel


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, *, timeout_s: float
) -> Response:
    """Call a unary RPC within `timeout_s` and what remains of the deadline of the request in hand.

    Raises the domain error that the service answered with.
    """
    allowed_s = deadline.remaining_s(timeout_s)
    try:
        with _span(method) if trace.is_recorded() else trace.NO_SPAN:
            return await method(request, timeout=allowed_s, metadata=(trace.propagated(),))
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def stream(
    method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request, *, key: str = ""
) -> AsyncIterator[Response]:
    """The responses of a server-streaming RPC, without a deadline of its own.

    It makes no span: the feed lasts as long as the process, and belongs to nobody's request. `key` says who
    calls, to a service that asks. Raises the domain error that the service ended it with.
    """
    metadata = [trace.propagated()]
    if key:
        metadata.append(("authorization", f"Bearer {key}"))
    try:
        async for response in method(request, metadata=metadata):
            yield response
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


def _span(method: grpc.aio.UnaryUnaryMultiCallable[Request, Response]) -> AbstractContextManager[object]:
    """A span of a call, where the request in hand is recorded."""
    # gRPC tells nobody what a stub's method is called and which channel it is of, but holds both.
    path: bytes = getattr(method, "_method", b"")
    target = next((_targets[each] for each in getattr(method, "_references", ()) if each in _targets), "")
    service, _, name = path.decode().lstrip("/").partition("/")
    attributes: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
    host, _, port = target.rpartition("/")[2].rpartition(":")
    if port.isdecimal():
        attributes |= {"server.address": host.strip("[]"), "server.port": int(port)}
    return trace.start("client", f"{service}/{name}", attributes) or trace.NO_SPAN
