"""Calls to the services behind the gateway, with failures told in its words."""

from __future__ import annotations

from typing import TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2

from services.mesh import channel, deadline
from services.mesh.errors import DeadlineExceeded, Unavailable

Request = TypeVar("Request")
Response = TypeVar("Response")


async def check_health(service: str, connection: grpc.aio.Channel, *, timeout_s: float) -> None:
    """Raise Unavailable, as `ask`, unless `service` says that it can do its work."""
    check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        connection.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
    )
    answer = await ask(service, check, health_pb2.HealthCheckRequest(), timeout_s=timeout_s)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise Unavailable(
            f"the {service} answers and cannot do its work for now", reason=f"{service.upper()}_UNAVAILABLE"
        )


async def ask(
    service: str,
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    timeout_s: float,
) -> Response:
    """Call an RPC of `service`, such as `embedder`.

    One that is away, or takes longer than `timeout_s` while the caller has time left, is Unavailable with the
    reason `<SERVICE>_UNAVAILABLE`. DeadlineExceeded is the caller's deadline and nothing else.
    """
    reason = f"{service.upper()}_UNAVAILABLE"
    allowed_s = deadline.remaining_s(timeout_s)
    try:
        return await channel.call(method, request, timeout_s=allowed_s)
    except DeadlineExceeded as error:
        if allowed_s < timeout_s:
            raise
        raise Unavailable(f"the {service} has not answered within {timeout_s:g} s", reason=reason) from error
    except Unavailable as error:
        if error.reason != Unavailable.default_reason:
            raise
        raise Unavailable(
            f"the {service} is away: {error.message}", reason=reason, retry_after_s=error.retry_after_s
        ) from error
