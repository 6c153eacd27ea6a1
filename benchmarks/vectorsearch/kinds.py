"""Every kind of index against the flat one: how much faster, at which recall."""

from __future__ import annotations

import asyncio

import numpy as np

from benchmarks.embedder.load import TIMEOUT_S, closed_loop, one_by_one
from benchmarks.report import progress
from benchmarks.vectorsearch import bare, messages
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.memory import over_live
from benchmarks.vectorsearch.messages import Weights
from benchmarks.vectorsearch.setting import Setting
from benchmarks.vectorsearch.shard import Shard, knows_kinds

Row = dict[str, object]

_EXACT = ("flat", "flat16", "sq8")
_POLL_S = 0.2


async def measure(
    setting: Setting, collection: Collection, weights: Weights, feed_port: int, empty_bytes: int
) -> dict[str, Row]:
    """A table by kind. The first one, flat, is measured anew beside each of the others."""
    if not knows_kinds():
        return {"unavailable": {"why": "this shard cannot be told its kind of index"}}
    table: dict[str, Row] = {}
    async with setting.shard("kind-flat", feed_port, kind="flat") as (_, flat):
        for kind in setting.plan.kinds:
            progress(f"kind {kind}")
            try:
                async with setting.shard(f"measured-{kind}", feed_port, kind=kind) as (shard, caller):
                    index = await built(shard, kind, setting.plan.build_s)
                    table[kind] = (
                        await _row(setting, collection, weights, caller, flat)
                        | index
                        | {"memory_over_live": await over_live(collection, shard, empty_bytes)}
                    )
            except (RuntimeError, TimeoutError) as error:
                table[kind] = {"unavailable": str(error) or f"not built within {setting.plan.build_s:g} s"}
    return table


async def _row(
    setting: Setting, collection: Collection, weights: Weights, caller: Caller, flat: Caller
) -> Row:
    plan = setting.plan
    requests = messages.searches(collection, weights)
    rates: dict[str, list[float]] = {"own": [], "flat": []}
    medians_ms: dict[str, list[float]] = {"own": [], "flat": []}
    for _ in range(plan.kind_rounds):
        for name, each in (("flat", flat), ("own", caller)):
            window = await closed_loop([each.search] * plan.callers, requests, window_s=plan.kind_s)
            await each.search(requests[0], TIMEOUT_S)
            latencies_s, _ = await one_by_one(each.search, requests, plan.singles)
            rates[name].append(window.rate)
            medians_ms[name].append(float(np.median(latencies_s)) * 1e3)
    speed_ups = [own / other for own, other in zip(rates["own"], rates["flat"], strict=True)]
    faster = [other / own for own, other in zip(medians_ms["own"], medians_ms["flat"], strict=True)]
    return {
        "queries_per_s": round(float(np.median(rates["own"])), 1),
        "p50_ms": round(float(np.median(medians_ms["own"])), 3),
        "speed_up": round(float(np.median(speed_ups)), 3),
        "single_speed_up": round(float(np.median(faster)), 3),
        "recall_at_10": await recall(setting, collection, weights, caller, 10),
        "recall_at_100": await recall(setting, collection, weights, caller, 100),
    }


async def recall(
    setting: Setting,
    collection: Collection,
    weights: Weights,
    caller: Caller,
    limit: int,
    selectivity: float | None = None,
) -> float:
    """Of the answers to the first queries, the share that belongs among the best `limit`."""
    requests = messages.searches(collection, weights, limit=limit, selectivity=selectivity)
    _, answers = await one_by_one(caller.search, requests, min(setting.plan.judged, len(requests)))
    rows = [messages.found(answer) for answer in answers]
    verdict = await setting.bare.run(bare.judge, collection, weights, rows, limit, selectivity)
    return round(verdict.recall, 5)


async def built(shard: Shard, kind: str, limit_s: float) -> Row:
    """What the shard tells of its index once that is there; raises TimeoutError when it does not come."""
    start = asyncio.get_running_loop().time()
    async with asyncio.timeout(limit_s):
        while True:
            status = await shard.status()
            indexes = [index for each in status.catalogs for one in each.generations for index in one.indexes]
            ready = [index for index in indexes if index.kind == kind and not index.building]
            if ready and (kind in _EXACT or all(index.indexed_rows for index in ready)):
                break
            await asyncio.sleep(_POLL_S)
    return {
        "built_s": round(asyncio.get_running_loop().time() - start, 1),
        "told_recall_at_10": ready[0].recall_at_10,
        "told_recall_at_100": ready[0].recall_at_100,
        "index_bytes": ready[0].index_bytes,
    }
