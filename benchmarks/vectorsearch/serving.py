"""The served search against bare FAISS, in turns: the machine's mood passes both alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, Window, closed_loop, one_by_one
from benchmarks.report import percentiles_ms, progress
from benchmarks.vectorsearch import bare, messages
from benchmarks.vectorsearch.bare import Way
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.messages import LIMIT, Weights
from benchmarks.vectorsearch.setting import Setting

# How long the machine is listened to.
_LISTEN_S = 0.5


@dataclass(frozen=True, slots=True)
class Best:
    """Ways among which bare FAISS is at its fastest: with one query a call, and with as many as one likes.

    With one query, each measurement takes the better way: which it is changes with what else runs.
    """

    singles: tuple[Way, ...]
    batch: Way


async def bare_best(setting: Setting, collection: Collection, weights: Weights) -> tuple[Best, Findings]:
    """Load the rows into bare FAISS and find its best ways; the rates of all ways that were tried."""
    progress("bare FAISS, by batch size and threads")
    plan = setting.plan
    await setting.bare.run(bare.prepare, collection, weights, LIMIT)
    ways = [
        Way(batch, threads, blas)
        for batch in plan.batches
        for threads in bare.threads()
        for blas in ((False, True) if batch > 1 else (False,))
    ]
    rates = await setting.bare.run(bare.sweep, ways, plan.sweep_passes, plan.sweep_s)
    singles = tuple(way for way in ways if way.batch == 1)
    best = Best(singles, max(ways, key=rates.__getitem__))
    findings = Findings()
    findings.figures |= {
        "bare_single_way": str(max(singles, key=rates.__getitem__)),
        "bare_batch_way": str(best.batch),
        "bare_queries_per_s_by_way": {str(way): round(rate, 1) for way, rate in rates.items()},
    }
    return best, findings


async def measure(
    setting: Setting, collection: Collection, weights: Weights, caller: Caller, best: Best
) -> Findings:
    """Throughput with many callers, and what one caller pays for the way there and back."""
    requests = messages.searches(collection, weights)
    findings = Findings()
    await _throughput(setting, requests, caller, best, findings)
    await _hop(setting, requests, caller, best, findings)
    return findings


async def _throughput(
    setting: Setting, requests: Sequence[bytes], caller: Caller, best: Best, findings: Findings
) -> None:
    plan = setting.plan

    async def rate(*ways: Way) -> float:
        return await setting.bare.run(bare.rate, ways, plan.bare_s)

    others, windows = list[float](), list[Window]()
    singles, batches = [await rate(*best.singles)], [await rate(best.batch)]
    gains, efficiencies, client_ms = [], [], []
    for number in range(plan.rounds):
        # All that is ours idles now.
        others.append(await asyncio.to_thread(psutil.cpu_percent, _LISTEN_S))
        cpu_s = time.process_time()
        windows.append(await closed_loop([caller.search] * plan.callers, requests, window_s=plan.served_s))
        client_ms.append((time.process_time() - cpu_s) / windows[-1].calls * 1e3)
        # The server drops what was cancelled, and answers this when what was in hand is done.
        await caller.search(requests[0], TIMEOUT_S)
        singles.append(await rate(*best.singles))
        batches.append(await rate(best.batch))
        gains.append(windows[-1].rate / (sum(singles[-2:]) / 2))
        efficiencies.append(windows[-1].rate / (sum(batches[-2:]) / 2))
        progress(
            f"round {number + 1} of {plan.rounds}: {windows[-1].rate:.0f}/s, {gains[-1]:.2f} times the bare "
            f"loop, {efficiencies[-1]:.2f} of the bare batch"
        )
    latencies_s = [latency for window in windows for latency in window.latencies_s]
    findings.settle("others_cpu_percent", others)
    findings.settle("bare_single_queries_per_s", singles)
    findings.settle("bare_batch_queries_per_s", batches)
    findings.settle("served_queries_per_s", [window.rate for window in windows])
    findings.settle("coalescing_gain", gains)
    findings.settle("batch_efficiency", efficiencies)
    # What a call costs the load generator, which shares the cores with the server.
    findings.settle("client_cpu_ms_per_call", client_ms)
    findings.raw_s["served_callers"] = latencies_s
    findings.figures |= {
        "served_latency": percentiles_ms(latencies_s),
        "served_errors": sum(window.errors.total() for window in windows),
    }


async def _hop(
    setting: Setting, requests: Sequence[bytes], caller: Caller, best: Best, findings: Findings
) -> None:
    """One caller, in blocks that alternate with the bare call and with an empty call on the same server."""
    progress("one caller")
    plan = setting.plan
    raw: dict[str, list[float]] = {"bare_single": [], "served_single": [], "echo": []}
    figures: dict[str, list[float]] = {
        name: [] for name in ("hop_p50_ms", "hop_p99_ms", "echo_p50_ms", "echo_p99_ms")
    }
    for _ in range(plan.rounds):
        bare_s = await setting.bare.run(bare.singles, best.singles, plan.singles)
        served_s, _ = await one_by_one(caller.search, requests, plan.singles)
        echo_s, _ = await one_by_one(caller.echo, [b""], plan.singles)
        for share in (50, 99):
            added_s = np.percentile(served_s, share) - np.percentile(bare_s, share)
            figures[f"hop_p{share}_ms"].append(float(added_s) * 1e3)
            figures[f"echo_p{share}_ms"].append(float(np.percentile(echo_s, share)) * 1e3)
        for name, latencies_s in zip(raw, (bare_s, served_s, echo_s), strict=True):
            raw[name] += latencies_s
    for name, values in figures.items():
        findings.settle(name, values)
    # Each round's own echo stands beside it.
    for share in (50, 99):
        over = zip(figures[f"hop_p{share}_ms"], figures[f"echo_p{share}_ms"], strict=True)
        findings.settle(f"hop_over_echo_p{share}_ms", [hop - echo for hop, echo in over])
    findings.raw_s |= raw
    findings.figures |= {name: percentiles_ms(latencies_s) for name, latencies_s in raw.items()}
