"""What the simulation needs to know of a real embedder, and one point at which it is held against one."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.autoscaling import passes
from benchmarks.autoscaling.figures import PodFigures
from benchmarks.autoscaling.plan import Plan
from benchmarks.embedder import photos
from benchmarks.embedder.callers import GrpcCaller
from benchmarks.embedder.load import Arrival, closed_loop, one_by_one, open_loop
from benchmarks.embedder.processes import HOST, Server, embedder, free_port, running, serves_grpc
from benchmarks.report import progress
from services.embedder.cores import available
from services.embedder.settings import EmbedderSettings
from vitrine.v1 import common_pb2, embedder_pb2

# What the page makes of a larger photo before it sends it.
LONGEST_SIDE_PX = 1600
_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Measured:
    """The pod as it was measured, and what else is published of it."""

    pod: PodFigures
    details: dict[str, object]


@dataclass(frozen=True, slots=True)
class Point:
    """What a real embedder did under arrivals of `rate` a second, at the times of `arrivals`.

    Its passes meanwhile took `slowness` times what the figures of the pod say.
    """

    rate: float
    slowness: float
    arrivals: Sequence[Arrival]
    mean_batch: float
    mean_wait_s: float


def photo_requests(catalog: Path | None, count: int) -> tuple[list[bytes], int]:
    """Serialised requests for all spaces of one photo each, as large as the page sends; their mean bytes."""
    contents = [_enlarged(jpeg) for jpeg in photos.load(catalog, count).jpegs]
    requests = [
        embedder_pb2.EmbedImagesRequest(images=[common_pb2.Image(content=content)]).SerializeToString()
        for content in contents
    ]
    return requests, round(sum(map(len, contents)) / len(contents))


@asynccontextmanager
async def timed_embedder(models_dir: Path, folder: Path) -> AsyncIterator[tuple[Server, Path]]:
    """The embedder with its default settings, and the record of its passes."""
    record = folder / "passes.txt"
    module = ("benchmarks.autoscaling.timed", str(record))
    async with embedder(models_dir, folder / "embedder.log", module=module) as server:
        yield server, record


async def starts(models_dir: Path, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from starting the embedder until its metrics answer and until it is SERVING, each round."""
    listens_s: list[float] = []
    serves_s: list[float] = []
    for number in range(rounds):
        progress(f"start {number + 1} of {rounds}")
        port, metrics_port = free_port(), free_port()
        flags = ["--port", port, "--metrics-port", metrics_port, "--models-dir", models_dir]
        started = time.perf_counter()

        async def is_ready() -> bool:
            if len(listens_s) == len(serves_s) and await _listens(metrics_port):  # noqa: B023 - of this round
                listens_s.append(time.perf_counter() - started)  # noqa: B023 - of this round
            return await serves_grpc(port)  # noqa: B023 - of this round

        async with running(["services.embedder", *map(str, flags)], folder / "start.log", {}, is_ready):
            serves_s.append(time.perf_counter() - started)
    return listens_s, serves_s


async def pod(
    server: Server,
    record: Path,
    requests: Sequence[bytes],
    plan: Plan,
    started: tuple[list[float], list[float]],
) -> Measured:
    """The figures of a pod with this machine's cores, from load by ever more callers."""
    settings = EmbedderSettings()
    async with GrpcCaller(HOST, server.port) as caller:
        since = time.monotonic()
        progress("one caller")
        single_s, answers = await one_by_one(caller.ask, requests, plan.singles)
        stages = [_stages_s(answer) for answer in answers]
        decode_s = float(np.median([each["decode"] for each in stages]))
        overheads = [took_s - sum(each.values()) for took_s, each in zip(single_s, stages, strict=True)]
        rates: dict[str, float] = {}
        for _ in range(plan.sweeps):
            for callers in plan.callers:
                window = await closed_loop([caller.ask] * callers, requests, window_s=plan.window_s)
                rates[str(callers)] = max(rates.get(str(callers), 0.0), round(window.rate, 1))
                progress(f"{callers} callers: {window.rate:.1f} images/s")
                # What was cancelled is dropped; this is answered when the batch in hand is done.
                await caller.ask(requests[0], 60)
    watched = [each for each in passes.read(record) if each.began_at >= since]
    times = passes.fit(watched, max(each.items for each in watched))
    listens_s, serves_s = started
    figures = PodFigures(
        alone_s=times.alone_s,
        shared_s=times.shared_s,
        factors=times.factors,
        passes=min(available(), 8),
        decode_s=round(decode_s, 6),
        decode_threads=settings.decode_threads,
        overhead_s=round(max(0.0, float(np.median(overheads))), 6),
        listen_s=round(float(np.median(listens_s)), 2),
        start_s=round(float(np.median(serves_s)), 2),
        max_items=settings.max_queued_items,
        max_calls=settings.max_inflight,
    )
    details: dict[str, object] = {
        "pass_counts": times.counts,
        "images_per_s_by_callers": rates,
        "listen_s_rounds": [round(each, 2) for each in listens_s],
        "start_s_rounds": [round(each, 2) for each in serves_s],
        "single_p50_ms": round(float(np.median(single_s)) * 1e3, 1),
    }
    return Measured(figures, details)


async def point(
    server: Server, record: Path, requests: Sequence[bytes], figures: PodFigures, rate: float, plan: Plan
) -> Point:
    """Arrivals at random for a while, with a deadline, and what the embedder tells of itself meanwhile."""
    names = ("batch_items_count", "batch_items_sum", "queue_seconds_sum")
    async with GrpcCaller(HOST, server.port) as caller:
        await caller.ask(requests[0], 60)
        since = time.monotonic()
        before = [server.metric(f"vitrine_embedder_{name}") for name in names]
        found = await open_loop(
            caller.ask, requests, rate=rate, seconds=plan.point_s, deadline_s=plan.point_deadline_s, seed=1
        )
        after = [server.metric(f"vitrine_embedder_{name}") for name in names]
    batches, items, waited_s = (now - then for now, then in zip(after, before, strict=True))
    codes = Counter(each.code for each in found)
    progress(f"{rate:.0f} arrivals/s: {dict(codes)}")
    slowness = passes.slowness([each for each in passes.read(record) if each.began_at >= since], figures)
    found.sort(key=lambda each: each.at_s)
    return Point(rate, slowness, found, items / batches, waited_s / items)


def _enlarged(jpeg: bytes) -> bytes:
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    scale = LONGEST_SIDE_PX / max(image.size)
    file = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale))).save(
        file, "JPEG", quality=_JPEG_QUALITY
    )
    return file.getvalue()


def _stages_s(answer: bytes) -> dict[str, float]:
    response = embedder_pb2.EmbedImagesResponse.FromString(answer)
    if any(each.HasField("status") for each in response.embeddings):
        raise RuntimeError(f"a photo was refused: {response.embeddings[0].status.message}")
    return {stage.stage: stage.duration_ms / 1e3 for stage in response.stages}


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
