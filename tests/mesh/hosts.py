"""A small service on loopback whose one RPC does what a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
from pydantic_settings import SettingsConfigDict

from services.mesh.channel import connect
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, ranker_pb2, ranker_pb2_grpc

Behaviour = Callable[[], Awaitable[None]]


class HostSettings(ServiceSettings):
    """Settings that read no variable of the machine's environment."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_TEST_")


class _Ranker(ranker_pb2_grpc.RankerServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def Rank(
        self, request: ranker_pb2.RankRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ranker_pb2.RankResponse:
        await self._behaviour()
        return ranker_pb2.RankResponse(dropped_count=request.limit)

    async def Classify(
        self, request: ranker_pb2.ClassifyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ranker_pb2.ClassifyResponse:
        raise NotImplementedError


class _Feed(catalog_pb2_grpc.FeedServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def Follow(
        self, request: catalog_pb2.FollowRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[catalog_pb2.FollowResponse]:
        yield catalog_pb2.FollowResponse()
        await self._behaviour()
        yield catalog_pb2.FollowResponse()

    def Scan(
        self, request: catalog_pb2.ScanRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[catalog_pb2.ScanResponse]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Running:
    """A host and the stubs of its services."""

    host: Host
    port: int
    channel: grpc.aio.Channel
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub
    feed: catalog_pb2_grpc.FeedServiceAsyncStub


@asynccontextmanager
async def running(behaviour: Behaviour, *, is_edge: bool = False, **settings: Any) -> AsyncIterator[Running]:
    """A serving host whose `Rank`, and whose `Follow` after its first frame, does what `behaviour` does."""
    settings = {"log_level": "ERROR", "drain_s": 5.0, **settings}
    host = Host(HostSettings(**settings), "test", is_edge=is_edge)
    host.add(
        ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
        lambda server: ranker_pb2_grpc.add_RankerServiceServicer_to_server(_Ranker(behaviour), server),
    )
    host.add(
        catalog_pb2.DESCRIPTOR.services_by_name["FeedService"],
        lambda server: catalog_pb2_grpc.add_FeedServiceServicer_to_server(_Feed(behaviour), server),
    )
    port = await host.start()
    host.serving()
    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            yield Running(
                host,
                port,
                channel,
                ranker_pb2_grpc.RankerServiceStub(channel),
                catalog_pb2_grpc.FeedServiceStub(channel),
            )
    finally:
        host.stop()
        await host.wait()
