from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh import channel, errors, server
from services.mesh.health import Health
from services.mesh.server import LIVENESS, Host
from tests.mesh.hosts import HostSettings, running
from tests.mesh.mute import mute
from tests.ports import reserved
from vitrine.v1 import ranker_pb2, ranker_pb2_grpc

TIMEOUT_S = 60.0
CHECK = "/grpc.health.v1.Health/Check"
READINESS = "vitrine.v1.RankerService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = ranker_pb2.RankRequest(limit=7)


async def nothing() -> None:
    pass


@pytest.fixture
def port() -> Iterator[int]:
    with reserved() as found:
        yield found


@asynccontextmanager
async def probing(port: int) -> AsyncIterator[Any]:
    """A probe without a certificate."""
    async with channel.connect(f"127.0.0.1:{port}") as connection:
        yield health_pb2_grpc.HealthStub(connection)


async def status(health: Any, service: str) -> int:
    answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
    return int(answer.status)


async def test_probes_need_no_certificate(port: int, tmp_path: Path) -> None:
    """Where calls are taken with a certificate alone, health is told to everybody on its own port."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, certificate, key = tmp_path / "ca.pem", tmp_path / "certificate.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(str(ca))
    key.write_bytes(issued.private_key_pem.bytes())
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    async with (
        running(
            nothing, health_port=port, tls_certificate=certificate, tls_key=key, tls_client_ca=ca
        ) as found,
        probing(port) as health,
    ):
        for service in ("", READINESS, LIVENESS):
            assert await status(health, service) == SERVING
        found.host.stuck()
        assert await status(health, READINESS) == NOT_SERVING
        with pytest.raises(errors.Unavailable):
            await channel.call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
        tls = channel.credentials(ca=ca, certificate=certificate, key=key)
        async with channel.connect(f"127.0.0.1:{found.port}", tls=tls) as connection:
            stub = ranker_pb2_grpc.RankerServiceStub(connection)
            assert (await channel.call(stub.Rank, REQUEST, timeout_s=TIMEOUT_S)).dropped_count == 7


async def test_probes_ask_for_the_moment(port: int) -> None:
    """Without a certificate nobody may watch, which goes on for long."""
    async with running(nothing, health_port=port), probing(port) as health:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S).read()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released by each probe that comes."""
    come = asyncio.Semaphore(0)
    really = Health.Check

    async def check(self: Health, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        come.release()
        return await really(self, request, context)

    monkeypatch.setattr(Health, "Check", check)
    monkeypatch.setattr(server, "_PROBES_AT_ONCE", 2)
    return come


async def come(checks: asyncio.Semaphore, *, times: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(times):
            await checks.acquire()


async def test_so_many_probes_are_answered_at_once(port: int, checks: asyncio.Semaphore) -> None:
    """One more than that is refused, while others do not read their answers."""
    async with running(nothing, health_port=port), mute(port, CHECK, calls=2), probing(port) as health:
        await come(checks, times=2)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await status(health, LIVENESS)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_probes_that_do_not_read_are_in_the_way_for_a_while_only(
    port: int, checks: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections end at an age, whatever is open on them."""
    monkeypatch.setattr(server, "_PROBES_CONNECTED_S", 0.5)
    async with running(nothing, health_port=port), mute(port, CHECK, calls=2):
        await come(checks, times=2)
        async with asyncio.timeout(TIMEOUT_S):
            answered = None
            while answered != SERVING:
                with suppress(grpc.aio.AioRpcError):
                    async with probing(port) as health:
                        answered = await status(health, LIVENESS)
                await asyncio.sleep(0.05)


async def test_the_health_port_has_nothing_but_health(port: int) -> None:
    """What else there is has to be asked for where callers are looked at."""
    async with running(nothing, health_port=port), channel.connect(f"127.0.0.1:{port}") as connection:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ranker_pb2_grpc.RankerServiceStub(connection).Rank(REQUEST, timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_process_is_alive_before_it_can_work(port: int) -> None:
    """From when it listens, so that nobody restarts what is only slow to load."""
    host = Host(HostSettings(log_level="ERROR", health_port=port), "test")
    await host.start()
    async with probing(port) as health:
        assert await status(health, "") == NOT_SERVING
        assert await status(health, LIVENESS) == SERVING
    host.stop()
    await asyncio.wait_for(host.wait(), TIMEOUT_S)


async def test_health_outlasts_the_drain(port: int) -> None:
    """While the last calls end, probes hear that no more are taken, and that no restart is needed."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await release.wait()

    async with running(hold, health_port=port, drain_s=TIMEOUT_S) as found, probing(port) as health:
        in_hand = asyncio.create_task(channel.call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S))
        await entered.wait()
        found.host.stop()
        waiting = asyncio.create_task(found.host.wait())
        while await status(health, READINESS) != NOT_SERVING:
            pass
        # A stage that moves again meanwhile opens nothing.
        found.host.moving()
        assert await status(health, READINESS) == NOT_SERVING
        assert await status(health, LIVENESS) == SERVING
        assert not waiting.done()
        release.set()
        assert (await in_hand).dropped_count == 7
        await asyncio.wait_for(waiting, TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await status(health, LIVENESS)
        assert gone.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_only_a_restart_helps_is_told(port: int) -> None:
    """And taken back should it help itself after all; readiness is another matter."""
    async with running(nothing, health_port=port) as found, probing(port) as health:
        found.host.not_alive()
        assert (await status(health, LIVENESS), await status(health, READINESS)) == (NOT_SERVING, SERVING)
        found.host.alive()
        assert await status(health, LIVENESS) == SERVING


async def test_a_health_port_in_use_is_named(port: int) -> None:
    """A process that probes cannot reach does not start."""
    async with running(nothing, health_port=port):
        host = Host(HostSettings(log_level="ERROR", health_port=port), "test")
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: is the port in use"):
            await host.start()
        host.stop()
        await asyncio.wait_for(host.wait(), TIMEOUT_S)
