"""Whether a service can do its work."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Self

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from services.mesh import channel

_TIMEOUT_S = 2.0


class HealthProbe:
    """Asks one service for its health; keeps its connection until closed."""

    def __init__(self, address: str, url: str = "", *, tls: grpc.ChannelCredentials | None = None) -> None:
        self._channel = channel.connect(address, tls=tls)
        self._check: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def status(self) -> str:
        """`serving`, `not serving` (it answers, but cannot work yet), or `away` (nothing answers)."""
        try:
            response = await self._check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return "away"
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            return "not serving"
        if self._url and not await asyncio.to_thread(_answers, self._url):
            return "not serving"
        return "serving"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
