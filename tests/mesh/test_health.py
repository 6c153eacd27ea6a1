from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh import health
from tests.mesh.hosts import Running, running
from tests.mesh.mute import mute
from tests.patience import until

TIMEOUT_S = 60.0
WATCH = "/grpc.health.v1.Health/Watch"
READINESS = "vitrine.v1.RankerService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def nothing() -> None:
    pass


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads takes what is told, however slow the machine is."""
    monkeypatch.setattr(health, "WRITE_S", TIMEOUT_S)


def watching(found: Running, service: str = READINESS) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(found.channel)
    return stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)


async def come_to(watches: int, found: Running) -> None:
    await until(lambda: len(found.host._health._watches) == watches)


async def test_a_watch_follows_what_is_told() -> None:
    """The status at first, and each that is another; what was told already is not told again."""
    async with running(nothing) as found:
        watch = watching(found)
        assert (await watch.read()).status == SERVING
        found.host.serving()
        found.host.stuck()
        assert (await watch.read()).status == NOT_SERVING
        found.host.moving()
        assert (await watch.read()).status == SERVING
        watch.cancel()


async def test_a_service_that_is_not_here_may_be_watched() -> None:
    """It is told to be unknown, as the protocol has it."""
    async with running(nothing) as found:
        watch = watching(found, "vitrine.v1.Nobody")
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


async def test_who_does_not_read_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are told at once, and the calls are given up, without a word in the log."""
    written = 0
    really = health._write

    async def count(*told: Any) -> None:
        nonlocal written
        written += 1
        await really(*told)

    monkeypatch.setattr(health, "_write", count)
    with caplog.at_level(logging.ERROR):
        async with running(nothing, drain_s=0.1) as found:
            watch = watching(found)
            assert (await watch.read()).status == SERVING
            monkeypatch.setattr(health, "WRITE_S", 0.1)
            async with mute(found.port, WATCH, calls=3):
                await until(lambda: written == 1 + 3)
                monkeypatch.setattr(health, "WRITE_S", TIMEOUT_S)
                found.host.stuck()
                assert (await watch.read()).status == NOT_SERVING
                await come_to(1, found)
    assert not caplog.records


async def test_watches_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is refused, until another has left."""
    monkeypatch.setattr(health, "MAX_WATCHES", 2)
    async with running(nothing) as found:
        first, second = watching(found), watching(found)
        for watch in (first, second):
            assert (await watch.read()).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watching(found).read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        await come_to(1, found)
        assert (await watching(found).read()).status == SERVING


async def test_a_watch_ends_at_the_age_of_connections() -> None:
    """It ends well, so that who watches does so anew over a connection to whoever serves then."""
    async with running(nothing, max_connection_age_s=0.1) as found:
        watch = watching(found)
        assert (await watch.read()).status == SERVING
        assert await asyncio.wait_for(watch.read(), TIMEOUT_S) is grpc.aio.EOF
        assert await watch.code() is grpc.StatusCode.OK
        await come_to(0, found)
