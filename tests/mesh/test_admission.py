from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh.channel import call, stream
from services.mesh.errors import Unauthenticated
from tests.mesh.hosts import running
from vitrine.v1 import catalog_pb2, ranker_pb2

TIMEOUT_S = 60.0


class Door:
    """Lets in who says the word, and remembers who came."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    async def __call__(self, metadata: Mapping[str, str | bytes], peer: str) -> None:
        self.peers.append(peer)
        if metadata.get("authorization") != "Bearer sesame":
            raise Unauthenticated("say the word")


async def nothing() -> None:
    pass


async def test_every_call_is_looked_at_first() -> None:
    """A call that is not let in never reaches its servicer, and its caller is told why."""
    reached = 0

    async def count() -> None:
        nonlocal reached
        reached += 1

    async with running(count) as host:
        door = Door()
        host.host.admit_by(door)
        with pytest.raises(Unauthenticated, match="say the word"):
            await call(host.ranker.Rank, ranker_pb2.RankRequest(), timeout_s=TIMEOUT_S)
        assert reached == 0
        await host.ranker.Rank(
            ranker_pb2.RankRequest(), metadata=(("authorization", "Bearer sesame"),), timeout=TIMEOUT_S
        )
        assert reached == 1
        assert [peer.startswith("ipv4:127.0.0.1:") for peer in door.peers] == [True, True]


async def test_a_stream_is_looked_at_too() -> None:
    """A stream is let in by the key that `channel.stream` was given, and not without."""
    async with running(nothing) as host:
        host.host.admit_by(Door())
        with pytest.raises(Unauthenticated):
            await anext(stream(host.feed.Follow, catalog_pb2.FollowRequest()))
        frames = [
            frame async for frame in stream(host.feed.Follow, catalog_pb2.FollowRequest(), key="sesame")
        ]
        assert len(frames) == 2


async def test_probes_are_not_asked() -> None:
    """Health is told to whoever asks: probes have no key."""
    async with running(nothing) as host:
        door = Door()
        host.host.admit_by(door)
        stub: Any = health_pb2_grpc.HealthStub(host.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert door.peers == []


async def test_one_that_is_refused_is_not_in_flight() -> None:
    """Calls that were not let in leave their place to others."""
    async with running(nothing, max_inflight=1) as host:
        host.host.admit_by(Door())
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await host.ranker.Rank(ranker_pb2.RankRequest(), timeout=TIMEOUT_S)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
