"""The served path against the bare forward, in turns: the machine's mood passes both alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
import psutil

from benchmarks.embedder import bare
from benchmarks.embedder.answers import stages_ms
from benchmarks.embedder.bare import Description, Kind
from benchmarks.embedder.callers import Ask
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, Window, closed_loop, one_by_one
from benchmarks.embedder.plan import Plan
from benchmarks.embedder.processes import Server
from benchmarks.report import percentiles_ms, progress

# How long the machine is listened to.
_LISTEN_S = 0.5
# Histogram of the pictures in a forward pass.
_BATCH_METRIC = "vitrine_embedder_batch_items"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bare:
    """The process that runs the model without serving."""

    pool: ProcessPoolExecutor
    description: Description

    async def run(self, task: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of one of the functions of `benchmarks.embedder.bare`."""
        return await asyncio.wrap_future(self.pool.submit(task, *args, **kwargs))


@dataclass(frozen=True, slots=True)
class Requests:
    """The same photos as catalogue JPEGs and as pictures so small that decoding them costs nothing."""

    jpeg: Sequence[bytes]
    tiny: Sequence[bytes]


class Meter:
    """Mean batch size, and processor time of the load generator a call, over several windows."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._totals = np.zeros(4)

    async def window(self, asks: Sequence[Ask], requests: Sequence[bytes], seconds: float) -> Window:
        """A closed loop; the server is idle again when it returns."""
        before = self._batches()
        cpu_s = time.process_time()
        window = await closed_loop(asks, requests, window_s=seconds)
        cpu_s = time.process_time() - cpu_s
        batches, pictures = (now - then for now, then in zip(self._batches(), before, strict=True))
        self._totals += [batches, pictures, cpu_s, window.calls]
        # The server drops what was cancelled, and answers this when the batch in hand is done.
        await asks[0](requests[0], TIMEOUT_S)
        return window

    @property
    def mean_batch(self) -> float | None:
        """Pictures a forward pass; None where the server does not tell."""
        batches, pictures, _, _ = self._totals
        return round(float(pictures / batches), 2) if batches else None

    @property
    def client_ms(self) -> float:
        """What a call costs the load generator, which shares the cores with the server."""
        _, _, cpu_s, calls = self._totals
        return round(float(cpu_s / calls * 1e3), 3)

    def _batches(self) -> tuple[float, float]:
        metric = self._server.metric
        return metric(f"{_BATCH_METRIC}_count"), metric(f"{_BATCH_METRIC}_sum")


async def measure(server: Server, ask: Ask, photos: Requests, model: Bare, plan: Plan) -> Findings:
    """Throughput and latency of the served path over those of the bare forward."""
    findings = Findings()
    batches = await _best_batches(model, plan, findings)
    meter = Meter(server)
    asks = [ask] * plan.callers

    async def bare_rate(kind: Kind = "served") -> float:
        return await model.run(bare.rate, kind, batches[kind], plan.bare_s)

    others = []
    bare_rates = [await bare_rate()]
    tensor, over_parallel, jpeg = [], [], []
    parallel, naive = [], []
    windows: list[Window] = []
    for number in range(plan.rounds):
        # All that is ours idles now. Whatever else computes takes more from the bare model, whose threads
        # wait for each other in every layer, than from the server.
        others.append(await asyncio.to_thread(psutil.cpu_percent, _LISTEN_S))
        parallel.append(await bare_rate("parallel"))
        window = await meter.window(asks, photos.tiny, plan.served_s)
        bare_rates.append(await bare_rate())
        tensor.append(window.rate / _mean(bare_rates[-2:]))
        over_parallel.append(window.rate / parallel[-1])
        windows.append(await meter.window(asks, photos.jpeg, plan.served_s))
        bare_rates.append(await bare_rate())
        jpeg.append(windows[-1].rate / _mean(bare_rates[-2:]))
        naive.append(await bare_rate("naive"))
        stages_ms(window.samples)
        progress(
            f"round {number + 1} of {plan.rounds}: bare {bare_rates[-1]:.1f}/s, from tiny pictures "
            f"{tensor[-1]:.3f} of it, from JPEG {jpeg[-1]:.3f}"
        )
    findings.settle("others_cpu_percent", others)
    findings.settle("bare_images_per_s", bare_rates)
    findings.settle("served_images_per_s", [window.rate for window in windows])
    findings.settle("tensor_serving_ratio", tensor)
    findings.settle("jpeg_serving_ratio", jpeg)
    findings.settle("bare_parallel_images_per_s", parallel)
    findings.settle("tensor_serving_ratio_parallel", over_parallel)
    findings.settle("naive_images_per_s", naive)
    # Each round's naive rate stands beside the bare rate that was measured just before it.
    findings.settle(
        "cpu_dtype_speedup", [fast / slow for fast, slow in zip(bare_rates[2::2], naive, strict=True)]
    )
    latencies_s = [latency for window in windows for latency in window.latencies_s]
    findings.raw_s["served_callers"] = latencies_s
    findings.figures |= {
        "served_latency": percentiles_ms(latencies_s),
        "served_errors": sum(window.errors.total() for window in windows),
        "stages_ms": stages_ms([sample for window in windows for sample in window.samples]),
        "mean_batch_images": meter.mean_batch,
        "client_cpu_ms_per_call": meter.client_ms,
    }
    await _single(ask, photos, model, plan, findings)
    findings.figures["rss_mb"] = server.rss_mb
    return findings


async def _best_batches(model: Bare, plan: Plan, findings: Findings) -> dict[Kind, int]:
    progress("the bare forward, by batch size")
    rates: dict[Kind, dict[int, float]] = {
        "served": await model.run(bare.sweep, "served", plan.batches, plan.sweep_passes, plan.sweep_s),
        "parallel": await model.run(
            bare.sweep, "parallel", plan.parallel_batches, plan.sweep_passes, plan.sweep_s
        ),
        # A naive batch takes so long that one pass tells enough.
        "naive": await model.run(bare.sweep, "naive", plan.naive_batches, 1, plan.sweep_s),
    }
    best = {kind: max(each, key=each.__getitem__) for kind, each in rates.items()}
    findings.figures |= {
        "dtype": model.description.dtype,
        "device": model.description.device,
        "threads": model.description.threads,
        "bare_batch": best,
        "bare_images_per_s_by_batch": {
            kind: {str(size): round(rate, 1) for size, rate in each.items()} for kind, each in rates.items()
        },
    }
    return best


async def _single(ask: Ask, photos: Requests, model: Bare, plan: Plan, findings: Findings) -> None:
    """One caller, in blocks that alternate with the bare call."""
    progress("one caller")
    ratios, tiny_ratios, answers = [], [], list[bytes]()
    raw: dict[str, list[float]] = {"bare_single": [], "served_single": [], "served_single_tiny": []}
    for _ in range(plan.rounds):
        bare_s = await model.run(bare.singles, plan.singles)
        jpeg_s, found = await one_by_one(ask, photos.jpeg, plan.singles)
        answers += found
        tiny_s, _ = await one_by_one(ask, photos.tiny, plan.singles)
        ratios.append(float(np.median(jpeg_s) / np.median(bare_s)))
        tiny_ratios.append(float(np.median(tiny_s) / np.median(bare_s)))
        for name, latencies_s in zip(raw, (bare_s, jpeg_s, tiny_s), strict=True):
            raw[name] += latencies_s
    findings.settle("single_latency_over_bare", ratios)
    findings.settle("single_latency_over_bare_tiny", tiny_ratios)
    findings.raw_s |= raw
    findings.figures |= {name: percentiles_ms(latencies_s) for name, latencies_s in raw.items()}
    findings.figures["single_stages_ms"] = stages_ms(answers)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
