from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from prometheus_client import REGISTRY

from services.mesh import deadline, errors, server, trace
from services.mesh.channel import call, connect, stream
from services.mesh.server import Host
from tests.mesh.hosts import HostSettings, Running, running
from tests.ports import reserved
from vitrine.v1 import catalog_pb2, ranker_pb2, ranker_pb2_grpc

REQUEST = ranker_pb2.RankRequest(limit=7)
TIMEOUT_S = 60.0


async def _nothing() -> None:
    return


def _raising(error: Exception) -> Callable[[], Coroutine[Any, Any, None]]:
    async def fail() -> None:
        raise error

    return fail


_HEALTH: dict[str, Any] = {
    "request_serializer": health_pb2.HealthCheckRequest.SerializeToString,
    "response_deserializer": health_pb2.HealthCheckResponse.FromString,
}


async def _health(found: Running, service: str = "") -> int:
    check = found.channel.unary_unary("/grpc.health.v1.Health/Check", **_HEALTH)
    response = await check(health_pb2.HealthCheckRequest(service=service))
    return int(response.status)


def _handled(method: str, code: str) -> float:
    labels = {
        "grpc_type": "unary",
        "grpc_service": "vitrine.v1.RankerService",
        "grpc_method": method,
        "grpc_code": code,
    }
    return REGISTRY.get_sample_value("grpc_server_handled_total", labels) or 0.0


ERRORS = [
    errors.InvalidArgument("query.text", "too long"),
    errors.NotFound("no such catalogue"),
    errors.AlreadyExists("exists", reason="TAKEN"),
    errors.Aborted("changed"),
    errors.Unauthenticated("who"),
    errors.PermissionDenied("not you"),
    errors.FailedPrecondition("no prompts", reason="SEMANTICS_MISSING"),
    errors.OutOfRange("gone"),
    errors.DeadlineExceeded("late"),
    errors.ResourceExhausted("full", retry_after_s=0.25),
    errors.Unavailable("away", retry_after_s=2.5),
    errors.VitrineError("broken", reason="BROKEN"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_domain_error_arrives_as_it_was_raised(error: errors.VitrineError) -> None:
    """Kind, reason, message, field and time to wait survive gRPC, in calls and in streams."""
    async with running(_raising(error)) as found:
        with pytest.raises(errors.VitrineError) as unary:
            await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
        with pytest.raises(errors.VitrineError) as streamed:
            async for _ in stream(found.feed.Follow, catalog_pb2.FollowRequest()):
                pass
    for caught in (unary.value, streamed.value):
        assert type(caught) is type(error)
        assert vars(caught) == vars(error)


async def test_an_unexpected_error_tells_the_caller_nothing_of_our_inside() -> None:
    """It is INTERNAL, without its text, and the server goes on."""
    async with running(_raising(ValueError("password 123"))) as found:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await found.ranker.Rank(REQUEST)
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "password" not in str(caught.value)
        with pytest.raises(errors.VitrineError, match="internal error"):
            async for _ in stream(found.feed.Follow, catalog_pb2.FollowRequest()):
                pass


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07" * 40])
async def test_bytes_that_are_no_message_are_the_callers_fault(data: bytes) -> None:
    """What cannot be parsed is INVALID_ARGUMENT, and counted as such."""
    before = _handled("Rank", "INVALID_ARGUMENT")
    async with running(_nothing) as found:
        rank: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = found.channel.unary_unary(
            "/vitrine.v1.RankerService/Rank"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rank(data, timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _handled("Rank", "INVALID_ARGUMENT") == before + 1


async def test_the_deadline_is_carried_over_two_hops() -> None:
    """What is left of the first caller's time is all that the last server has."""
    left: list[float] = []

    async def look() -> None:
        left.append(deadline.remaining_s(3600))

    async with running(look) as last:

        async def forward() -> None:
            await asyncio.sleep(0.2)
            await call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)

        async with running(forward) as first:
            await call(first.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
            assert 0 < left[0] <= TIMEOUT_S - 0.05
            with pytest.raises(errors.DeadlineExceeded):
                await call(first.ranker.Rank, REQUEST, timeout_s=0.1)


async def test_a_call_without_a_deadline_gets_the_default_one() -> None:
    """Nothing may take for ever because a caller forgot to say how long."""
    left: list[float] = []

    async def look() -> None:
        left.append(deadline.remaining_s(3600))

    async with running(look, default_timeout_s=600.0) as found:
        await found.ranker.Rank(REQUEST)
    assert 500 < left[0] <= 600


async def test_the_trace_is_carried_over_two_hops() -> None:
    """The caller's trace id is the one that every server works under."""
    seen: list[str] = []

    async def look() -> None:
        seen.append(trace.current())

    async with running(look) as last:

        async def forward() -> None:
            seen.append(trace.current())
            await call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)

        async with running(forward) as first:
            trace_id = trace.begin()
            await call(first.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
    assert seen == [trace_id, trace_id]


async def test_more_calls_than_admitted_are_refused_at_once() -> None:
    """RESOURCE_EXHAUSTED with a time to wait, within milliseconds, while admitted work goes on unharmed."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await release.wait()

    async with running(hold, max_inflight=1) as found:
        admitted = asyncio.create_task(call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S))
        await entered.wait()
        rejected = REGISTRY.get_sample_value("vitrine_server_rejected_total") or 0.0
        with pytest.raises(errors.ResourceExhausted) as caught:
            await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
        assert caught.value.retry_after_s == 0.5
        assert REGISTRY.get_sample_value("vitrine_server_rejected_total") == rejected + 1
        assert await _health(found) == health_pb2.HealthCheckResponse.SERVING
        release.set()
        assert (await admitted).dropped_count == 7
        assert (await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)).dropped_count == 7
    assert REGISTRY.get_sample_value("vitrine_server_inflight") == 0


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.ResourceExhausted("full"), 1),
        (errors.ResourceExhausted("too often", reason="RATE_LIMITED"), 0),
        (errors.Unavailable("away"), 0),
    ],
)
async def test_want_of_room_is_told_from_other_limits(error: errors.VitrineError, counts: int) -> None:
    """A call that found no room, here or behind, is counted by its method; a caller's own limit is not."""
    labels = {"call": "vitrine.v1.RankerService/Rank"}
    async with running(_raising(error)) as found:
        before = REGISTRY.get_sample_value("vitrine_server_overloaded_total", labels)
        assert before is not None
        with pytest.raises(type(error)):
            await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
    assert REGISTRY.get_sample_value("vitrine_server_overloaded_total", labels) == before + counts


async def test_a_caller_that_leaves_frees_its_place() -> None:
    """Work for nobody is cancelled and counted so."""
    entered, left = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            left.set()

    before = _handled("Rank", "CANCELLED")
    async with running(hold, max_inflight=1) as found:
        caller = asyncio.create_task(call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S))
        await entered.wait()
        caller.cancel()
        await asyncio.wait_for(left.wait(), TIMEOUT_S)
    assert _handled("Rank", "CANCELLED") == before + 1


async def test_a_drain_finishes_the_calls_in_hand() -> None:
    """Told to stop, a server turns its health round, takes no more calls, and ends when its last one has."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await release.wait()

    async with running(hold, drain_s=TIMEOUT_S) as found:
        in_hand = asyncio.create_task(call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S))
        await entered.wait()
        watch: Any = found.channel.unary_stream("/grpc.health.v1.Health/Watch", **_HEALTH)(
            health_pb2.HealthCheckRequest(service="vitrine.v1.RankerService")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        found.host.stop()
        waiting = asyncio.create_task(found.host.wait())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        with pytest.raises(errors.Unavailable):
            await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
        assert not in_hand.done()
        release.set()
        assert (await in_hand).dropped_count == 7
        await asyncio.wait_for(waiting, TIMEOUT_S)


async def test_a_drain_ends_what_outlives_it() -> None:
    """A call that goes on past the time to drain is cut off."""
    entered = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await asyncio.sleep(3600)

    async with running(hold, drain_s=0.1) as found:
        endless = asyncio.create_task(call(found.ranker.Rank, REQUEST, timeout_s=3600))
        await entered.wait()
        found.host.stop()
        await asyncio.wait_for(found.host.wait(), TIMEOUT_S)
        with pytest.raises(errors.VitrineError):
            await endless


async def test_streams_can_learn_of_the_end() -> None:
    """A stream without an end waits for `stopping` beside its own work."""
    async with running(_nothing) as found:
        stopping = asyncio.create_task(found.host.stopping())
        await asyncio.sleep(0)
        assert not stopping.done()
        found.host.stop()
        await asyncio.wait_for(stopping, TIMEOUT_S)


async def test_health_says_whether_the_work_can_be_done() -> None:
    """Every service has an entry, NOT_SERVING until the host says otherwise; an unknown one is NOT_FOUND."""
    async with running(_nothing) as found:
        for service in ("", "vitrine.v1.RankerService", "vitrine.v1.FeedService"):
            assert await _health(found, service) == health_pb2.HealthCheckResponse.SERVING
        found.host.stuck()
        assert await _health(found, "vitrine.v1.RankerService") == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _health(found, "vitrine.v1.Nobody")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("is_ready", [True, False])
async def test_only_what_is_ready_and_moves_serves(*, is_ready: bool) -> None:
    """A stage that moves again makes nobody ready, and being ready is nothing while one stands still."""
    expected = (
        health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
    )
    host = Host(HostSettings(log_level="ERROR"), "test")
    port = await host.start()
    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", **_HEALTH)

            async def status() -> int:
                return int((await check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)).status)

            host.stuck()
            if is_ready:
                host.serving()
            assert await status() == health_pb2.HealthCheckResponse.NOT_SERVING
            host.moving()
            assert await status() == expected
            host.stuck()
            host.moving()
            assert await status() == expected
    finally:
        host.stop()
        await asyncio.wait_for(host.wait(), TIMEOUT_S)


class Line:
    """A port that leads to another, until `is_cut`: from then on all that comes gets lost."""

    def __init__(self) -> None:
        self.port = 0
        self.carried = 0
        self.is_cut = False

    async def carry(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(source, 1 << 16):
                if not self.is_cut:
                    self.carried += 1
                    await loop.sock_sendall(sink, data)

    async def carried_more(self, times: int) -> None:
        enough, give_up_s = self.carried + times, time.monotonic() + 60
        while self.carried < enough:
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    found, loop = Line(), asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as ends:
        listener.setblocking(False)
        found.port = listener.getsockname()[1]

        async def lead() -> None:
            async with asyncio.TaskGroup() as ways:
                while True:
                    near = ends.enter_context((await loop.sock_accept(listener))[0])
                    far = ends.enter_context(socket.socket())
                    far.setblocking(False)
                    await loop.sock_connect(far, ("127.0.0.1", port))
                    ways.create_task(found.carry(near, far))
                    ways.create_task(found.carry(far, near))

        leading = asyncio.create_task(lead())
        try:
            yield found
        finally:
            leading.cancel()
            await asyncio.wait([leading])


async def test_a_caller_with_nothing_to_say_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asked for goes on while it answers pings, however many."""
    monkeypatch.setattr(server, "_PING_S", 0.1)
    monkeypatch.setattr(server, "PONG_S", TIMEOUT_S)
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await release.wait()

    async with (
        running(hold) as found,
        line(found.port) as way,
        connect(f"127.0.0.1:{way.port}") as channel,
    ):
        rank = asyncio.ensure_future(ranker_pb2_grpc.RankerServiceStub(channel).Rank(REQUEST))
        await entered.wait()
        await way.carried_more(20)
        release.set()
        assert (await rank).dropped_count == 7


async def test_a_caller_that_vanishes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asked for ends once it answers no ping."""
    monkeypatch.setattr(server, "_PING_S", 0.1)
    monkeypatch.setattr(server, "PONG_S", 0.5)
    entered, left = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            left.set()

    async with (
        running(hold) as found,
        line(found.port) as way,
        connect(f"127.0.0.1:{way.port}") as channel,
    ):

        async def ask() -> None:
            # Again, where the machine has stood still for so long that the first ping was not answered.
            while not entered.is_set():
                with suppress(grpc.aio.AioRpcError):
                    await ranker_pb2_grpc.RankerServiceStub(channel).Rank(REQUEST)

        asking = asyncio.create_task(ask())
        await asyncio.wait_for(entered.wait(), TIMEOUT_S)
        way.is_cut = True
        await asyncio.wait_for(left.wait(), TIMEOUT_S)
        asking.cancel()


async def test_all_addresses_of_a_machine_are_one_setting() -> None:
    """With `::` both kinds of addresses lead to RPCs, health and metrics."""
    with reserved() as health_port, reserved() as metrics_port:
        settings: dict[str, Any] = {"health_port": health_port, "metrics_port": metrics_port}
        async with running(_nothing, host="::", **settings) as found:
            for address in ("127.0.0.1", "[::1]"):
                for port in (found.port, health_port):
                    async with connect(f"{address}:{port}") as channel:
                        check = channel.unary_unary("/grpc.health.v1.Health/Check", **_HEALTH)
                        answer = await check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
                        assert answer.status == health_pb2.HealthCheckResponse.SERVING
                page = await asyncio.to_thread(
                    urllib.request.urlopen, f"http://{address}:{metrics_port}/metrics", timeout=TIMEOUT_S
                )
                assert b"grpc_server_started_total" in page.read()


async def test_calls_are_counted_by_code_from_zero() -> None:
    """Every method and code exists before the first call, and a call counts once, by its code."""
    async with running(_nothing) as found:
        labels = {"grpc_type": "unary", "grpc_service": "vitrine.v1.RankerService", "grpc_method": "Classify"}
        assert REGISTRY.get_sample_value("grpc_server_started_total", labels) is not None
        assert REGISTRY.get_sample_value("grpc_server_handling_seconds_count", labels) is not None
        for code in grpc.StatusCode:
            sample = {**labels, "grpc_code": code.name}
            assert REGISTRY.get_sample_value("grpc_server_handled_total", sample) is not None
        before = _handled("Rank", "OK")
        await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
        assert _handled("Rank", "OK") == before + 1


async def test_failed_work_beside_the_server_stops_it() -> None:
    """A process whose background work has died does not go on pretending."""
    host = Host(HostSettings(log_level="ERROR"), "test")
    await host.start()
    host.run_beside(_raising(RuntimeError("the follower died"))())
    with pytest.raises(RuntimeError, match="the follower died"):
        await asyncio.wait_for(host.wait(), TIMEOUT_S)


async def test_work_that_ends_stops_the_server_too() -> None:
    """Work that should last as long as the process has failed when it returns."""
    host = Host(HostSettings(log_level="ERROR"), "test")
    await host.start()
    host.run_beside(_nothing())
    with pytest.raises(RuntimeError, match="should never end"):
        await asyncio.wait_for(host.wait(), TIMEOUT_S)


async def test_work_beside_the_server_is_cancelled_after_the_drain() -> None:
    """Told to stop, the host ends its background work and returns without an error."""
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    host = Host(HostSettings(log_level="ERROR"), "test")
    await host.start()
    host.run_beside(work())
    await asyncio.sleep(0)
    host.stop()
    await asyncio.wait_for(host.wait(), TIMEOUT_S)
    assert cancelled.is_set()


async def test_a_port_in_use_is_told() -> None:
    """Two processes never share a port silently."""
    async with running(_nothing) as found:
        other = Host(HostSettings(port=found.port, log_level="ERROR"), "test")
        with pytest.raises(OSError, match=f"127.0.0.1:{found.port}: is the port in use"):
            await other.start()


def test_a_process_with_a_port_in_use_ends_with_a_clear_line() -> None:
    """Status 1 and the address, and no stack trace."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag in ("--port", "--metrics-port"):
            ended = subprocess.run(
                [sys.executable, "-m", "services.ranker", "--port", "0", flag, str(port)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            assert ended.returncode == 1
            assert f"127.0.0.1:{port}: is the port in use?" in ended.stderr
            assert "Traceback" not in ended.stderr


def test_a_process_serves_counts_and_drains() -> None:
    """Started as it is deployed: JSON logs, metrics on their own port, SIGTERM ends it with status 0."""
    with (
        reserved() as metrics_port,
        subprocess.Popen(
            [sys.executable, "-m", "services.ranker", "--port", "0", "--metrics-port", str(metrics_port)],
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr is not None
        lines = [json.loads(process.stderr.readline()) for _ in range(2)]
        assert [line["event"] for line in lines] == ["listening", "serving"]
        assert {line["service"] for line in lines} == {"ranker"}
        with grpc.insecure_channel(lines[0]["address"]) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", **_HEALTH)
            assert check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S).status == 1
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=TIMEOUT_S) as page:
            text = page.read().decode()
        assert 'grpc_server_started_total{grpc_method="Rank",grpc_service="vitrine.v1.RankerService"' in text
        assert 'vitrine_ranker_dropped_total{reason="gender"} 0.0' in text
        process.terminate()
        rest = [json.loads(line) for line in process.stderr]
    assert [line["event"] for line in rest] == ["draining", "stopped"]
    assert process.returncode == 0
