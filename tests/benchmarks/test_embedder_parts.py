"""The parts of the embedder's benchmark that decide what a figure is."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from PIL import Image

from benchmarks.embedder import departures, overload, peers, photos, record
from benchmarks.embedder.callers import EMBED_IMAGES, Failed, GrpcCaller, HttpCaller, http_get
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import Arrival, Window, closed_loop, open_loop, throughput
from vitrine.v1 import common_pb2, embedder_pb2

HOST = "127.0.0.1"
VECTOR = b"\1" * 8192


def test_the_rate_of_batches_does_not_depend_on_where_the_window_cuts() -> None:
    """Eight answers at once, ten times a second, are 80 a second."""
    ends = [batch / 10 for batch in range(20) for _ in range(8)]
    assert throughput(ends) == pytest.approx(80, rel=0.01)
    assert throughput(ends[3:]) == pytest.approx(80, rel=0.03)


def test_work_is_dead_when_its_caller_had_left_before_the_batch() -> None:
    """A caller who left within the grace, or stayed, or is unknown makes no work dead."""
    left_at = {1: 10.0, 2: 10.0, 3: None}
    batches = [record.Batch(10.0 + departures.GRACE_S / 2, (1, 3, 99)), record.Batch(11.0, (2,))]
    assert departures.judge(batches, left_at) == (3, 1)


@pytest.mark.parametrize("identity", [1, 255, 256, 0x123456, 0xFFFFFF])
def test_a_picture_is_known_by_its_colour_after_decoding(identity: int, tmp_path: Path) -> None:
    """An id comes back from a record of the picture, stretched as the embedder does it."""
    image = Image.open(io.BytesIO(record.picture(identity))).resize((224, 224), Image.Resampling.BILINEAR)
    written = record.Record(tmp_path / "record.txt")
    written.add([np.asarray(image)])
    assert [batch.ids for batch in record.batches(tmp_path / "record.txt")] == [(identity,)]


def test_only_answers_in_time_are_good() -> None:
    """An error, or an answer after the deadline, is none."""
    arrivals = [Arrival(0, 0, 0.1, "OK"), Arrival(0, 0, 0.3, "OK"), Arrival(0, 0, 0.1, "RESOURCE_EXHAUSTED")]
    assert overload.good(arrivals, 0.2) == 1


def test_a_median_is_published_with_its_rounds() -> None:
    """The figure is the median; least, greatest and all rounds stand beside it."""
    findings = Findings()
    findings.settle("ratio", [0.9, 0.8, 1.0])
    spread = {"ratio": {"min": 0.8, "max": 1.0, "rounds": [0.9, 0.8, 1.0]}}
    assert findings.published == {"ratio": 0.9, "spread": spread}


def test_where_ours_is_behind_the_table_says_why() -> None:
    """A figure in which a peer is ahead is named together with what our stages took."""
    answer = embedder_pb2.EmbedImagesResponse(
        embeddings=[embedder_pb2.Embedding(vectors=[common_pb2.Vector(data=VECTOR)])],
        stages=[common_pb2.StageTiming(stage="queue", duration_ms=7)],
    )
    ours = Window(3, 10.0, [0.2, 0.2], Counter(), [answer.SerializeToString()])
    theirs = Window(3, 5.0, [0.1, 0.1], Counter(), [])
    found = peers.compare(ours, theirs)
    assert found["ours_over_peer"] == {"images_per_s": 2.0, "p50_ms": 0.5, "p99_ms": 0.5}
    assert found["why"] == "ours is behind in p50_ms and p99_ms; of its median answer: queue 7 ms"
    assert "why" not in peers.compare(Window(3, 10.0, [0.05], Counter(), []), theirs)


def test_photos_are_the_same_at_every_call(drawn_catalog: Path, tmp_path: Path) -> None:
    """JPEGs of the folder are drawn alike, other formats left out, and a folder without any is refused."""
    folder = tmp_path / "catalog"
    (folder / "images").mkdir(parents=True)
    for number, path in enumerate(sorted((drawn_catalog / "images").iterdir())[:6]):
        Image.open(path).convert("RGB").save(folder / "images" / f"{number}.jpg")
    (folder / "images" / "png.jpg").write_bytes(b"\x89PNG")
    first = photos.load(folder, 4)
    assert len(first.jpegs) == 4
    assert photos.load(folder, 4) == first
    assert first.pixels.shape == (4, 224, 224, 3)
    (tmp_path / "images").mkdir()
    with pytest.raises(SystemExit):
        photos.load(tmp_path, 4)


class EchoingServer(grpc.GenericRpcHandler):
    """Answers EmbedImages: a number is a status, `wait` is never answered, anything else comes back twice."""

    def __init__(self) -> None:
        self.came, self.left = asyncio.Event(), asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != EMBED_IMAGES:
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if request == b"wait":
            self.came.set()
            try:
                await asyncio.sleep(3600)
            finally:
                self.left.set()
        if request.isdigit():
            await context.abort(next(code for code in grpc.StatusCode if code.value[0] == int(request)), "so")
        return request * 2


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[GrpcCaller, EchoingServer]]:
    handler = EchoingServer()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    async with GrpcCaller(HOST, port) as caller:
        yield caller, handler
    await server.stop(None)


async def test_answers_come_back_whole_over_grpc() -> None:
    """Many calls at once, some larger than the frames and windows of HTTP/2, each get their own answer."""
    requests = [bytes([65 + number]) * size for number, size in enumerate((600, 20_000, 300_000, 1_000_000))]
    async with echoing() as (caller, _):
        answers = await asyncio.gather(*(caller.ask(request, 60) for request in requests * 4))
    assert answers == [request * 2 for request in requests * 4]


@pytest.mark.parametrize(("status", "code"), [(b"8", "RESOURCE_EXHAUSTED"), (b"14", "UNAVAILABLE")])
async def test_a_status_of_grpc_is_told_by_name(status: bytes, code: str) -> None:
    """A refusal is no answer, and says which it is; so is an answer too short for a vector."""
    async with echoing() as (caller, _):
        with pytest.raises(Failed, match=code):
            await caller.ask(status, 60)
        with pytest.raises(Failed, match="NO_VECTOR"):
            await caller.ask(b"tiny", 60)


async def test_the_server_hears_of_a_caller_who_leaves() -> None:
    """A cancelled call ends on the server too."""
    async with echoing() as (caller, handler):
        call = asyncio.create_task(caller.ask(b"wait", 3600))
        await asyncio.wait_for(handler.came.wait(), 60)
        call.cancel()
        await asyncio.wait_for(handler.left.wait(), 60)


async def test_a_deadline_is_kept_whatever_the_server_does() -> None:
    """A caller who is not answered in time fails, and its connection serves on."""
    async with echoing() as (caller, _):
        with pytest.raises(Failed, match="DEADLINE_EXCEEDED"):
            await caller.ask(b"wait", 0.01)
        assert await caller.ask(VECTOR, 60) == VECTOR * 2


async def test_a_lost_connection_is_told_and_made_anew() -> None:
    """A call whose connection breaks fails, and the next one gets a new connection."""
    async with echoing() as (caller, _):
        call = asyncio.create_task(caller.ask(b"wait", 3600))
        await caller.ask(VECTOR, 60)
        assert caller._connection is not None
        caller._connection.close()
        with pytest.raises(Failed, match="LOST"):
            await call
        assert await caller.ask(VECTOR, 60) == VECTOR * 2


async def test_bodies_come_back_over_http_and_statuses_are_told() -> None:
    """One connection serves several requests; a status other than 200 is a failure, as is no server."""
    answers = [b"200 OK", b"200 OK", b"503 Busy"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 8192\r\n\r\n" + VECTOR)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        caller = HttpCaller(HOST, port)
        assert [await caller.ask(http_get("/"), 60) for _ in range(2)] == [VECTOR] * 2
        with pytest.raises(Failed, match="503"):
            await caller.ask(http_get("/"), 60)
        caller.close()
    with pytest.raises(Failed):
        await HttpCaller(HOST, port).ask(http_get("/"), 60)


async def test_callers_send_again_when_they_have_their_answer() -> None:
    """Each caller has one request under way; refusals are counted and tried again."""
    under_way = most = sent = 0

    async def ask(_request: bytes, _timeout_s: float) -> bytes:
        nonlocal under_way, most, sent
        under_way, sent = under_way + 1, sent + 1
        most = max(most, under_way)
        refused = sent == 1
        await asyncio.sleep(0.001)
        under_way -= 1
        if refused:
            raise Failed("RESOURCE_EXHAUSTED")
        return VECTOR

    window = await closed_loop([ask] * 4, [b""], window_s=0.05)
    assert most == 4
    assert window.errors == {"RESOURCE_EXHAUSTED": 1}
    # Those that warmed up are not in the window, nor are those that came in the same breath.
    assert window.calls >= 12
    assert 0 < len(window.latencies_s) <= window.calls - 4
    assert window.samples


async def test_arrivals_do_not_wait_for_answers() -> None:
    """All requests of an open loop are sent though none is answered, and each outcome is told."""
    enough = asyncio.Event()
    sent = 0

    async def ask(_request: bytes, _timeout_s: float) -> bytes:
        nonlocal sent
        sent += 1
        if sent == 10:
            enough.set()
        await enough.wait()
        if sent % 2:
            raise Failed("UNAVAILABLE")
        return VECTOR

    arrivals = await open_loop(ask, [b""], rate=1000, seconds=0.1, deadline_s=60, seed=7)
    assert len(arrivals) == sent >= 10
    assert {arrival.code for arrival in arrivals} <= {"OK", "UNAVAILABLE"}
    assert all(0 <= arrival.at_s < 0.1 <= 0.1 + arrival.late_s for arrival in arrivals)
