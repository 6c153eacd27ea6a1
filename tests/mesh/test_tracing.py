from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger

import vitrine
from services.mesh import errors, stages, trace, tracing
from services.mesh.channel import call, stream
from services.mesh.stages import StageClock
from tests.mesh.hosts import running
from tests.mesh.receivers import Received, Receiver, receiving
from tests.patience import until
from tests.ports import reserved
from vitrine.v1 import catalog_pb2, common_pb2, ranker_pb2

TIMEOUT_S = 60.0
REQUEST = ranker_pb2.RankRequest(limit=7, query=ranker_pb2.RankQuery(text="a secret wish"))
RANK = "vitrine.v1.RankerService/Rank"
SAMPLED, NOT_SAMPLED = "01", "00"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends waits for its last spans, however slow the machine is."""
    monkeypatch.setattr(tracing, "EXPORT_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(tracing, "FLUSH_S", TIMEOUT_S)


@pytest.fixture(autouse=True)
def _outside_of_any_trace() -> Iterator[None]:
    trace.enter(None)
    yield
    trace.enter(None)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged of spans."""
    found = CapturingLogger()
    monkeypatch.setattr(tracing, "_log", found)
    return found


async def nothing() -> None:
    pass


def parent(flags: str) -> str:
    """A traceparent of a trace of its own."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"


def only(spans: list[Received], kind: str, name: str) -> Received:
    [found] = [span for span in spans if (span.kind, span.name) == (kind, name)]
    return found


def dropped(reason: str) -> float:
    found = REGISTRY.get_sample_value("vitrine_trace_spans_dropped_total", {"reason": reason})
    assert found is not None
    return found


async def test_the_steps_of_a_request_hang_together(receiver: Receiver) -> None:
    """Over two hops: each call is a child of the stage that makes it, and the parent of what it leads to."""
    async with running(nothing) as last:

        async def forward() -> None:
            clock = StageClock()
            clock.record("queue", 0.002)
            with clock.stage("rank"):
                await call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)

        async with running(forward, otlp_endpoint=receiver.endpoint) as first:
            header = parent(SAMPLED)
            await first.ranker.Rank(REQUEST, metadata=((trace.HEADER, header),))
    spans = receiver.spans
    assert {span.trace for span in spans} == {header[3:35]}
    outer = next(span for span in spans if span.parent == header[36:52])
    queue, rank = only(spans, "internal", "queue"), only(spans, "internal", "rank")
    client = only(spans, "client", RANK)
    inner = next(span for span in spans if span.kind == "server" and span is not outer)
    assert (outer.kind, outer.name) == ("server", RANK)
    assert (queue.parent, rank.parent, client.parent, inner.parent) == (
        outer.id,
        outer.id,
        rank.id,
        client.id,
    )
    assert len(spans) == 5
    assert queue.end_ns - queue.start_ns == 2_000_000
    for outside, inside in ((outer, rank), (rank, client), (client, inner)):
        assert outside.start_ns <= inside.start_ns <= inside.end_ns <= outside.end_ns


async def test_spans_are_named_by_the_conventions(receiver: Receiver) -> None:
    """Attributes and resource are those that every tool for OpenTelemetry knows."""
    async with running(nothing) as last:

        async def forward() -> None:
            await call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)

        async with running(forward, otlp_endpoint=receiver.endpoint) as first:
            await first.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
        port = last.port
    rpc = {
        "rpc.system": "grpc",
        "rpc.service": "vitrine.v1.RankerService",
        "rpc.method": "Rank",
        "rpc.grpc.status_code": 0,
    }
    servers = [span for span in receiver.spans if span.kind == "server"]
    assert [span.attributes for span in servers] == [rpc, rpc]
    client = only(receiver.spans, "client", RANK)
    assert client.attributes == {**rpc, "server.address": "127.0.0.1", "server.port": port}
    resource = client.resource
    assert (resource["service.name"], resource["service.version"]) == ("vitrine-test", vitrine.__version__)
    assert resource["service.instance.id"]


async def test_nothing_of_what_was_asked_is_told(receiver: Receiver) -> None:
    """Neither words, nor what an error says of them, nor keys."""

    async def refuse() -> None:
        raise errors.InvalidArgument("query.text", "a secret wish is too long")

    async with running(refuse, otlp_endpoint=receiver.endpoint) as found:
        metadata = ((trace.HEADER, parent(SAMPLED)), ("authorization", "Bearer secret"))
        with pytest.raises(grpc.aio.AioRpcError):
            await found.ranker.Rank(REQUEST, metadata=metadata)
    [span] = receiver.spans
    assert b"secret" not in span.raw.SerializeToString()


@pytest.mark.parametrize(
    ("error", "of_server", "of_client"),
    [
        (errors.NotFound("no"), False, True),
        (errors.ResourceExhausted("full", retry_after_s=0.1), False, True),
        (errors.Unavailable("away"), True, True),
        (ValueError("broken"), True, True),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failure_is_told(
    receiver: Receiver, error: Exception, *, of_server: bool, of_client: bool
) -> None:
    """What is the caller's fault is an error of the caller's span alone; the code is in both."""

    async def fail() -> None:
        raise error

    async with running(fail) as last:

        async def forward() -> None:
            with StageClock().stage("rank"):
                await call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)

        async with running(forward, otlp_endpoint=receiver.endpoint) as first:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await first.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
    code = caught.value.code()
    client, stage = only(receiver.spans, "client", RANK), only(receiver.spans, "internal", "rank")
    servers = [span for span in receiver.spans if span.kind == "server"]
    assert [span.is_error for span in servers] == [of_server, of_server]
    assert (client.is_error, stage.is_error) == (of_client, True)
    assert client.attributes["error.type"] == code.name
    assert {span.attributes["rpc.grpc.status_code"] for span in (client, *servers)} == {code.value[0]}


async def test_a_call_that_is_not_needed_any_more_is_no_failure(receiver: Receiver) -> None:
    """The loser of two tries was cancelled, and says so."""

    async def hold() -> None:
        entered.set()
        await asyncio.sleep(3600)

    entered = asyncio.Event()
    async with running(hold) as last:

        async def forward() -> None:
            losing = asyncio.create_task(call(last.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S))
            await entered.wait()
            losing.cancel()
            await asyncio.gather(losing, return_exceptions=True)

        async with running(forward, otlp_endpoint=receiver.endpoint) as first:
            await first.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
    client = only(receiver.spans, "client", RANK)
    assert (client.is_error, client.attributes["rpc.grpc.status_code"]) == (False, 1)


async def test_a_caller_decides(receiver: Receiver) -> None:
    """Its flag is honoured whatever our own ratio is, and goes on to the next hop."""
    seen: list[tuple[str, str]] = []

    async def look() -> None:
        seen.append(trace.propagated())

    for ratio, flags in ((1.0, NOT_SAMPLED), (0.0, SAMPLED)):
        async with running(look, otlp_endpoint=receiver.endpoint, trace_sample_ratio=ratio) as found:
            await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(flags)),))
    assert [header[-2:] for _, header in seen] == [NOT_SAMPLED, SAMPLED]
    [span] = receiver.spans
    assert seen[1][1] == f"00-{span.trace}-{span.id}-01"


async def test_a_share_of_the_others_is_recorded(receiver: Receiver) -> None:
    """By the trace id, so that all who have to decide of one trace decide alike."""
    ids = [secrets.token_hex(16) for _ in range(300)]
    expected = {each for each in ids if int(each[16:], 16) < 0.25 * (1 << 64)}
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=0.25) as found:
        for each in ids:
            await found.ranker.Rank(REQUEST, metadata=((trace.ID_HEADER, each),))
    assert {span.trace for span in receiver.spans} == expected
    assert 20 < len(expected) < 140


async def test_a_trace_that_begins_here_has_a_root(receiver: Receiver) -> None:
    """The span of a call without any trace has no parent, and the id that its caller is told."""
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        rank = found.ranker.Rank(REQUEST)
        await rank
        trailing = dict(await rank.trailing_metadata() or ())
    [span] = receiver.spans
    assert (span.parent, span.trace) == ("", trailing[trace.ID_HEADER])


async def test_who_is_refused_makes_no_span(receiver: Receiver) -> None:
    """Whatever strangers ask to have recorded costs the refusal alone; its trace is named all the same."""

    async def refuse(_metadata: Mapping[str, str | bytes], _peer: str) -> None:
        raise errors.Unauthenticated("who are you")

    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        found.host.admit_by(refuse)
        header = parent(SAMPLED)
        for metadata in (((trace.HEADER, header),), ()):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await found.ranker.Rank(REQUEST, metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            told = dict(refused.value.trailing_metadata())[trace.ID_HEADER]
            assert told == (header[3:35] if metadata else told)
            assert len(told) == 32
    assert not receiver.spans


async def test_a_span_covers_the_admission(receiver: Receiver) -> None:
    """A call that is let in has taken its time from when it came."""

    async def slowly(_metadata: Mapping[str, str | bytes], _peer: str) -> None:
        await asyncio.sleep(0.05)

    async with running(nothing, otlp_endpoint=receiver.endpoint) as found:
        found.host.admit_by(slowly)
        await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
    [span] = receiver.spans
    assert span.end_ns - span.start_ns >= 45_000_000


async def test_strangers_have_so_many_traces_recorded(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it their flag is not honoured, here and behind; between our own services it always is."""
    monkeypatch.setattr(tracing, "ASKED_PER_S", 1e-3)
    seen: list[str] = []

    async def look() -> None:
        seen.append(trace.propagated()[1][-2:])

    for is_edge in (True, False):
        async with running(look, is_edge=is_edge, otlp_endpoint=receiver.endpoint) as found:
            for _ in range(3):
                await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
    assert seen == [SAMPLED, NOT_SAMPLED, NOT_SAMPLED, SAMPLED, SAMPLED, SAMPLED]
    assert len(receiver.spans) == 4


async def test_strangers_do_not_choose_what_is_recorded(receiver: Receiver) -> None:
    """An id that would be in every share is recorded as often as any other."""
    async with running(
        nothing, is_edge=True, otlp_endpoint=receiver.endpoint, trace_sample_ratio=0.25
    ) as found:
        for _ in range(200):
            metadata = ((trace.ID_HEADER, f"{secrets.token_hex(8)}{0:016x}"),)
            await found.ranker.Rank(REQUEST, metadata=metadata)
    assert 10 < len(receiver.spans) < 100


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "collector.pem"))
    return authority


@pytest.fixture
def secure_receiver(authority: trustme.CA) -> Iterator[Receiver]:
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    with receiving(credentials) as receiver:
        yield receiver


@pytest.mark.parametrize("knows", [True, False])
async def test_a_receiver_is_checked_by_its_own_authority(
    secure_receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, knows: bool
) -> None:
    """Over TLS a receiver has to be who it says, whatever authority our services have among themselves."""
    mesh = trustme.CA()
    issued = mesh.issue_cert("127.0.0.1")
    ca, certificate, key = tmp_path / "ca.pem", tmp_path / "certificate.pem", tmp_path / "key.pem"
    mesh.cert_pem.write_to_path(str(ca))
    key.write_bytes(issued.private_key_pem.bytes())
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    before = dropped("not_taken")
    if not knows:
        monkeypatch.setattr(tracing, "FLUSH_S", 0.2)
    async with running(
        nothing,
        otlp_endpoint=f"https://{secure_receiver.address}",
        otlp_ca=tmp_path / "collector.pem" if knows else None,
        tls_ca=ca,
        tls_client_certificate=certificate,
        tls_client_key=key,
    ) as found:
        await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
    await until(lambda: len(secure_receiver.spans) + dropped("not_taken") - before == 1)
    assert len(secure_receiver.spans) == knows


async def test_an_sdk_that_is_switched_off_stays_so(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without a receiver, ids are passed on and nothing is recorded."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    seen: list[tuple[str, str]] = []

    async def look() -> None:
        seen.append(trace.propagated())

    async with running(look, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        header = parent(SAMPLED)
        await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, header),))
    assert seen == [(trace.HEADER, header)]
    assert not receiver.spans


async def test_work_for_no_request_makes_no_span(receiver: Receiver) -> None:
    """Calls that a service makes by itself, for ever, are recorded by nobody."""
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        await call(found.ranker.Rank, REQUEST, timeout_s=TIMEOUT_S)
    assert not receiver.spans


async def test_a_stream_makes_no_span(receiver: Receiver) -> None:
    """It would end with the process; calls made meanwhile are nobody's request."""
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        trace.begin(parent(SAMPLED))
        assert len([frame async for frame in stream(found.feed.Follow, catalog_pb2.FollowRequest())]) == 2
    assert not receiver.spans


async def test_stages_of_many_requests_are_told_by_each(receiver: Receiver) -> None:
    """What a thread timed for a batch is told in the trace of each request of it, as having just ended."""
    timings = [common_pb2.StageTiming(stage=name, duration_ms=2) for name in ("filter", "search")]

    async def answer() -> None:
        await asyncio.to_thread(StageClock)
        stages.tell(timings)

    async with running(answer, otlp_endpoint=receiver.endpoint) as found:
        await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(SAMPLED)),))
        await found.ranker.Rank(REQUEST, metadata=((trace.HEADER, parent(NOT_SAMPLED)),))
    server = only(receiver.spans, "server", RANK)
    filtered, search = only(receiver.spans, "internal", "filter"), only(receiver.spans, "internal", "search")
    assert filtered.parent == search.parent == server.id
    assert filtered.end_ns == search.start_ns
    assert server.start_ns - 10**7 <= search.end_ns <= server.end_ns


async def test_a_receiver_that_is_away_harms_nobody(
    log: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are answered, the loss is counted, and there is one line of it, not one a try."""
    monkeypatch.setattr(tracing, "BATCH_SPANS", 8)
    monkeypatch.setattr(tracing, "FLUSH_S", 0.2)
    before = dropped("not_taken")
    with reserved() as port:
        endpoint = f"http://127.0.0.1:{port}"
        async with running(nothing, otlp_endpoint=endpoint, trace_sample_ratio=1.0) as found:
            for _ in range(3 * tracing.BATCH_SPANS):
                assert (await found.ranker.Rank(REQUEST, timeout=TIMEOUT_S)).dropped_count == 7
            found.host.stop()
            await found.host.wait()
        await until(lambda: dropped("not_taken") == before + 3 * tracing.BATCH_SPANS)
    assert [call.args for call in log.calls] == [("spans are not taken",)]


async def test_a_receiver_that_is_back_gets_spans(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, log: CapturingLogger
) -> None:
    """An outage costs what it lasted for, and its end is told."""
    monkeypatch.setattr(tracing, "PERIOD_S", 0.01)
    receiver.refuses = True
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        await found.ranker.Rank(REQUEST)
        await until(lambda: bool(log.calls))
        receiver.refuses = False
        await found.ranker.Rank(REQUEST)
        await asyncio.to_thread(receiver.spans_when, lambda spans: len(spans) == 1)
    assert [call.args[0] for call in log.calls] == ["spans are not taken", "spans are taken again"]


async def test_what_waits_is_bounded(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the queue spans are dropped and counted, and a hanging receiver delays the end a little only."""
    monkeypatch.setattr(tracing, "QUEUE_SPANS", 8)
    monkeypatch.setattr(tracing, "BATCH_SPANS", 4)
    monkeypatch.setattr(tracing, "FLUSH_S", 0.2)
    receiver.holds = threading.Event()
    before = dropped("queue_full")
    async with running(nothing, otlp_endpoint=receiver.endpoint, trace_sample_ratio=1.0) as found:
        for _ in range(40):
            await found.ranker.Rank(REQUEST, timeout=TIMEOUT_S)
        # At most one batch is on its way.
        assert dropped("queue_full") - before >= 40 - 8 - 4
        start_s = time.monotonic()
        found.host.stop()
        await found.host.wait()
        assert time.monotonic() - start_s < TIMEOUT_S / 2
        receiver.holds.set()


def test_nothing_is_loaded_where_there_is_no_receiver() -> None:
    """The SDK costs memory and time, which a process without traces does not pay."""
    code = "import sys, services.mesh.server; print(any('opentelemetry' in name for name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
