from __future__ import annotations

import json
import socket

import pytest

from services.mesh import deadline, errors
from services.mesh.channel import MAX_MESSAGE_BYTES, call, connect, options, stream
from tests.mesh.hosts import running
from vitrine.v1 import catalog_pb2, ranker_pb2, ranker_pb2_grpc

REQUEST = ranker_pb2.RankRequest(limit=3)


async def _nothing() -> None:
    return


def test_only_the_outermost_caller_retries() -> None:
    """Retries come with throttling, or not at all; calls go round robin in both cases."""
    inner, outer = dict(options(retries=False)), dict(options(retries=True))
    assert (inner["grpc.enable_retries"], outer["grpc.enable_retries"]) == (0, 1)
    assert set(json.loads(inner["grpc.service_config"])) == {"loadBalancingConfig"}
    config = json.loads(outer["grpc.service_config"])
    assert set(config) == {"loadBalancingConfig", "methodConfig", "retryThrottling"}
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


async def test_a_service_that_is_away_is_unavailable() -> None:
    """Nobody listens there: told at once, not at the deadline."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with connect(f"127.0.0.1:{port}") as channel:
        with pytest.raises(errors.Unavailable):
            await call(ranker_pb2_grpc.RankerServiceStub(channel).Rank, REQUEST, timeout_s=5)


async def test_retries_outlast_a_moment_of_absence() -> None:
    """A channel with retries succeeds where the first attempts were turned away."""
    attempts = 0

    async def away_twice() -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise errors.Unavailable("starting")

    async with running(away_twice) as found, connect(f"127.0.0.1:{found.port}", retries=True) as channel:
        response = await call(ranker_pb2_grpc.RankerServiceStub(channel).Rank, REQUEST, timeout_s=10)
    assert response.dropped_count == 3
    assert attempts == 3


async def test_no_call_is_made_when_the_time_is_up() -> None:
    """The deadline of the request in hand is looked at before anything is sent."""
    calls = 0

    async def count() -> None:
        nonlocal calls
        calls += 1

    async with running(count) as found:
        with deadline.within(0), pytest.raises(errors.DeadlineExceeded):
            await call(found.ranker.Rank, REQUEST, timeout_s=5)
    assert calls == 0


async def test_a_stream_gives_all_frames() -> None:
    """Frames come in order, and the stream ends when the service ends it."""
    async with running(_nothing) as found:
        frames = [frame async for frame in stream(found.feed.Follow, catalog_pb2.FollowRequest())]
    assert frames == [catalog_pb2.FollowResponse()] * 2


async def test_a_message_above_the_limit_is_refused() -> None:
    """More than a server takes is RESOURCE_EXHAUSTED, and below it more than gRPC's usual 4 MiB passes."""
    large = ranker_pb2.RankRequest(query=ranker_pb2.RankQuery(text="x" * (5 << 20)))
    async with running(_nothing) as found:
        await call(found.ranker.Rank, large, timeout_s=10)
    async with running(_nothing, max_message_bytes=1 << 20) as found:
        with pytest.raises(errors.ResourceExhausted):
            await call(found.ranker.Rank, large, timeout_s=10)
    assert MAX_MESSAGE_BYTES > 4 << 20
