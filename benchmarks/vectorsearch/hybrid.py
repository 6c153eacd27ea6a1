"""A weighted search over three spaces against bare FAISS over their vectors side by side."""

from __future__ import annotations

import numpy as np

from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import one_by_one
from benchmarks.report import percentiles_ms, progress
from benchmarks.vectorsearch import bare, kinds, memory, messages, serving
from benchmarks.vectorsearch.collection import DIMENSIONS
from benchmarks.vectorsearch.messages import LIMIT
from benchmarks.vectorsearch.setting import Setting

WEIGHTS = {"resnet50": 0.4, "clip": 0.4, "triplet": 0.2}


async def measure(setting: Setting, empty_bytes: int) -> Findings:
    """One caller's p50 over that of the better of one and all threads, and what of the best ten is found."""
    plan = setting.plan
    findings = Findings()
    with setting.collection(plan.hybrid_rows, tuple(WEIGHTS)) as collection:
        progress(f"three spaces: {collection.source}")
        best, tried = await serving.bare_best(setting, collection, WEIGHTS)
        requests = messages.searches(collection, WEIGHTS)
        port = await setting.serve(collection)
        async with setting.shard("hybrid", port) as (shard, caller):
            ratios, bare_ms = list[float](), list[float]()
            served_s, answers = list[float](), list[bytes]()
            for _ in range(plan.rounds):
                bare_s = await setting.bare.run(bare.singles, best.singles, plan.filter_singles)
                latencies_s, answers = await one_by_one(caller.search, requests, plan.filter_singles)
                ratios.append(float(np.median(latencies_s) / np.median(bare_s)))
                bare_ms.append(float(np.median(bare_s)) * 1e3)
                served_s += latencies_s
            findings.settle("hybrid_over_bare_flat", ratios)
            findings.settle("hybrid_bare_p50_ms", bare_ms)
            findings.raw_s["hybrid"] = served_s
            taken, in_server_ms = messages.plan_and_stages(answers)
            findings.figures |= {
                "hybrid_overlap_at_10": await kinds.recall(setting, collection, WEIGHTS, caller, LIMIT),
                "hybrid_latency": percentiles_ms(served_s),
                "hybrid_rows": collection.rows,
                "hybrid_vectors": collection.source,
                "hybrid_dimensions": sum(DIMENSIONS[space] for space in WEIGHTS),
                "hybrid_bare_way": tried.figures["bare_single_way"],
                "hybrid_plan": taken,
                "hybrid_in_server_ms": round(in_server_ms, 3),
                "hybrid_memory_over_live": await memory.over_live(collection, shard, empty_bytes),
            }
    return findings
