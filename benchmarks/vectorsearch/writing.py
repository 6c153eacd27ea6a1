"""Searches while the feed writes, beside the same searches in quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, Arrival, open_loop
from benchmarks.report import percentiles_ms, progress
from benchmarks.vectorsearch import feed, messages
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.messages import Weights
from benchmarks.vectorsearch.setting import Setting
from benchmarks.vectorsearch.shard import Shard

_POLL_S = 0.05


async def measure(
    setting: Setting, collection: Collection, weights: Weights, shard: Shard, caller: Caller, sustained: float
) -> Findings:
    """The p99 of searches that arrive at half the rate that many callers got, with writes over without."""
    progress("searches while writing")
    plan, rate = setting.plan, sustained / 2
    findings = Findings()
    requests = messages.searches(collection, weights)

    async def arrivals(seed: int) -> list[Arrival]:
        return await open_loop(
            caller.search, requests, rate=rate, seconds=plan.writing_s, deadline_s=TIMEOUT_S, seed=seed
        )

    quiet, busy, written, lags_s = list[list[Arrival]](), list[list[Arrival]](), list[float](), list[float]()
    for number in range(plan.writing_rounds):
        quiet.append(await arrivals(number))
        writing = asyncio.ensure_future(
            setting.feed.run(feed.write, plan.writes_per_s, plan.writing_s, number)
        )
        busy.append(await arrivals(number))
        outcome = await writing
        written.append(outcome.per_s)
        lags_s.append(await _caught_up(shard, outcome.revision))
    ratios = [_p99_s(theirs) / _p99_s(ours) for theirs, ours in zip(busy, quiet, strict=True)]
    findings.settle("p99_while_writing", ratios)
    findings.settle("written_per_s", written)
    findings.settle("caught_up_after_writing_s", lags_s)
    for name, rounds in (("quiet", quiet), ("while_writing", busy)):
        latencies_s = [each.latency_s for arrivals in rounds for each in arrivals if each.code == "OK"]
        findings.raw_s[name] = latencies_s
        findings.figures[f"{name}_latency"] = percentiles_ms(latencies_s)
    findings.figures["writing_searches_per_s"] = round(rate, 1)
    findings.figures["writing_errors"] = sum(
        each.code != "OK" for arrivals in quiet + busy for each in arrivals
    )
    return findings


async def _caught_up(shard: Shard, revision: int) -> float:
    """Seconds until the shard reflects a revision; raises TimeoutError when it does not."""
    start = asyncio.get_running_loop().time()
    async with asyncio.timeout(TIMEOUT_S):
        while (await shard.status()).revision < revision:  # noqa: ASYNC110 - a status knows no events
            await asyncio.sleep(_POLL_S)
    return asyncio.get_running_loop().time() - start


def _p99_s(arrivals: Sequence[Arrival]) -> float:
    return float(np.percentile([each.latency_s for each in arrivals if each.code == "OK"], 99))
