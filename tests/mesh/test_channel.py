from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from services.mesh import channel as channels
from services.mesh import deadline, errors
from services.mesh.channel import MAX_MESSAGE_BYTES, call, connect, options, stream
from tests.mesh.hosts import running
from tests.ports import reserved
from vitrine.v1 import catalog_pb2, ranker_pb2, ranker_pb2_grpc

REQUEST = ranker_pb2.RankRequest(limit=3)


async def _nothing() -> None:
    return


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is so soon."""
    retries = json.loads(json.dumps(channels._RETRIES))
    retries["retryPolicy"]["initialBackoff"] = "0.01s"
    monkeypatch.setattr(channels, "_RETRIES", retries)


def test_only_the_outermost_caller_retries() -> None:
    """Retries come with throttling, or not at all; calls go round robin in both cases."""
    inner, outer = dict(options(retries=False)), dict(options(retries=True))
    assert set(json.loads(inner["grpc.service_config"])) == {"loadBalancingConfig"}
    config = json.loads(outer["grpc.service_config"])
    assert set(config) == {"loadBalancingConfig", "methodConfig", "retryThrottling"}
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]


@asynccontextmanager
async def answering(do: Callable[[], grpc.StatusCode]) -> AsyncIterator[int]:
    """The port of a service whose two methods, `Do` and `Make`, answer with what `do` says."""

    async def handle(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        code = do()
        if code is not grpc.StatusCode.OK:
            await context.abort(code, "as the test wants")
        return b"done"

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(handle)
    methods = {"Do": handler, "Make": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def method_of(channel: grpc.aio.Channel, name: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    found: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/test.Service/{name}")
    return found


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
async def test_what_must_not_be_done_twice_is_not_retried(code: grpc.StatusCode) -> None:
    """A method that is named is called once, whatever comes of it, and others as before."""
    attempts = 0

    def fail() -> grpc.StatusCode:
        nonlocal attempts
        attempts += 1
        return code

    async with (
        answering(fail) as port,
        connect(f"127.0.0.1:{port}", retries=True, once=["/test.Service/Make"]) as channel,
    ):
        for method, most in (("Make", 1), ("Do", 4)):
            attempts = 0
            with pytest.raises(grpc.aio.AioRpcError):
                await method_of(channel, method)(b"", timeout=60)
            assert attempts == most


async def test_retries_go_on_while_servers_are_replaced_and_end_when_all_fail() -> None:
    """With a third of the tries turned away hardly a call fails; with all of them few are made anew."""
    tries, turned_away = 0, 3

    def away_now_and_then() -> grpc.StatusCode:
        nonlocal tries
        tries += 1
        return grpc.StatusCode.OK if tries % turned_away else grpc.StatusCode.UNAVAILABLE

    async with (
        answering(away_now_and_then) as port,
        connect(f"127.0.0.1:{port}", retries=True) as channel,
    ):
        method = method_of(channel, "Do")

        async def failed(calls: int) -> int:
            """How many of so many calls at once fail."""
            made = (method(b"", timeout=60) for _ in range(calls))
            ends = await asyncio.gather(*made, return_exceptions=True)
            return sum(isinstance(end, grpc.aio.AioRpcError) for end in ends)

        assert sum([await failed(20) for _ in range(10)]) <= 10
        tries, turned_away = 0, 1
        assert sum([await failed(20) for _ in range(10)]) == 200
        assert tries <= 200 + 60


async def test_a_service_that_is_away_is_unavailable() -> None:
    """Nobody listens there: told at once, not at the deadline."""
    with reserved() as port:
        async with connect(f"127.0.0.1:{port}") as channel:
            with pytest.raises(errors.Unavailable):
                await call(ranker_pb2_grpc.RankerServiceStub(channel).Rank, REQUEST, timeout_s=60)


async def test_retries_outlast_a_moment_of_absence() -> None:
    """A channel with retries succeeds where the first attempts were turned away."""
    attempts = 0

    async def away_twice() -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise errors.Unavailable("starting")

    async with running(away_twice) as found, connect(f"127.0.0.1:{found.port}", retries=True) as channel:
        response = await call(ranker_pb2_grpc.RankerServiceStub(channel).Rank, REQUEST, timeout_s=60)
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
        await call(found.ranker.Rank, large, timeout_s=60)
    async with running(_nothing, max_message_bytes=1 << 20) as found:
        with pytest.raises(errors.ResourceExhausted):
            await call(found.ranker.Rank, large, timeout_s=60)
    assert MAX_MESSAGE_BYTES > 4 << 20
