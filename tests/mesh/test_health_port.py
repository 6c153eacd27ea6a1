from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh import channel, errors, server
from services.mesh.server import LIVENESS, Host
from tests.mesh.hosts import HostSettings, running
from tests.mesh.mute import mute
from vitrine.v1 import ranker_pb2, ranker_pb2_grpc

TIMEOUT_S = 60.0
READINESS = "vitrine.v1.RankerService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = ranker_pb2.RankRequest(limit=7)


async def nothing() -> None:
    pass


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


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


async def test_probes_that_do_not_read_are_in_the_way_for_a_while_only(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many at once are answered, and connections end at an age, whatever is open on them."""
    monkeypatch.setattr(server, "_PROBES_AT_ONCE", 2)
    monkeypatch.setattr(server, "_PROBES_CONNECTED_S", 1.0)
    codes: list[grpc.StatusCode] = []
    async with running(nothing, health_port=port), mute(port, "/grpc.health.v1.Health/Check", calls=2):
        give_up_s = time.monotonic() + TIMEOUT_S
        while codes[-1:] != [grpc.StatusCode.OK]:
            assert time.monotonic() < give_up_s
            async with probing(port) as health:
                try:
                    await status(health, LIVENESS)
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
            await asyncio.sleep(0.05)
            if codes == [grpc.StatusCode.OK]:
                # Before the others' calls came.
                codes.clear()
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK}


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
