from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from services.mesh.channel import connect
from tests.mesh.hosts import running
from vitrine.v1 import catalog_pb2, common_pb2, ranker_pb2, ranker_pb2_grpc

CALLERS = 32
CALLS = 150
# Large enough that connections end while some of it is on its way.
REQUEST = ranker_pb2.RankRequest(limit=3, candidates=common_pb2.Candidates(product_ids=["p" * 20_000]))


async def _nothing() -> None:
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("once", [[], ["/vitrine.v1.RankerService/Rank"]], ids=["never", "once"])
async def test_no_call_fails_when_its_connection_is_closed_at_its_age(once: list[str]) -> None:
    """Calls that meet the end of a connection are sent again, also where nothing is retried."""
    async with (
        running(_nothing, max_connection_age_s=0.05) as found,
        connect(f"127.0.0.1:{found.port}", retries=bool(once), once=once) as channel,
    ):
        stub = ranker_pb2_grpc.RankerServiceStub(channel)

        async def caller() -> None:
            for _ in range(CALLS):
                assert (await stub.Rank(REQUEST, timeout=60)).dropped_count == 3

        await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def test_a_stream_outlives_its_connections_age_and_the_deadline_of_others() -> None:
    """A stream that has no end of its own goes on over a connection that takes no further calls."""

    async def slowly() -> None:
        await asyncio.sleep(0.5)

    async with running(slowly, max_connection_age_s=0.05, default_timeout_s=0.05) as found:
        frames = [frame async for frame in found.feed.Follow(catalog_pb2.FollowRequest())]
    assert len(frames) == 2


async def test_a_call_that_a_server_drops_at_its_end_is_made_again() -> None:
    """CANCELLED by a server, which says so of calls it has not begun at its shutdown, is tried again."""
    attempts = 0

    async def drop(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return b"done"

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(drop)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", {"Do": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connect(f"127.0.0.1:{port}", retries=True) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Service/Do")
            assert await method(b"", timeout=60) == b"done"
    finally:
        await server.stop(None)
    assert attempts == 3
