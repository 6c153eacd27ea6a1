"""Filtered searches, from a row in ten thousand to nearly all: how fast and how right."""

from __future__ import annotations

import numpy as np

from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import one_by_one
from benchmarks.report import progress
from benchmarks.vectorsearch import bare, messages
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import SELECTIVITIES, Collection
from benchmarks.vectorsearch.messages import LIMIT, Weights
from benchmarks.vectorsearch.serving import Best
from benchmarks.vectorsearch.setting import Setting

_UNFILTERED = "unfiltered"


async def measure(
    setting: Setting, collection: Collection, weights: Weights, caller: Caller, best: Best
) -> Findings:
    """A table by selectivity: exact searches of one caller over bare unfiltered ones, and recall."""
    progress("filters")
    plan = setting.plan
    findings = Findings()
    requests = {
        _UNFILTERED: messages.searches(collection, weights, exact=True),
        **{
            f"{share:.2%}": messages.searches(collection, weights, selectivity=share, exact=True)
            for share in SELECTIVITIES
        },
    }
    ratios: dict[str, list[float]] = {name: [] for name in requests}
    served_ms: dict[str, list[float]] = {name: [] for name in requests}
    answers: dict[str, list[bytes]] = {name: [] for name in requests}
    for _ in range(plan.filter_rounds):
        for name, sent in requests.items():
            bare_s = await setting.bare.run(bare.singles, best.singles, plan.filter_singles)
            latencies_s, answers[name] = await one_by_one(caller.search, sent, plan.filter_singles)
            ratios[name].append(float(np.median(latencies_s) / np.median(bare_s)))
            served_ms[name].append(float(np.median(latencies_s)) * 1e3)
            findings.raw_s.setdefault(f"filtered_{name}", []).extend(latencies_s)
    table: dict[str, dict[str, object]] = {}
    for name, share in zip(requests, (None, *SELECTIVITIES), strict=True):
        _, judged = await one_by_one(caller.search, requests[name], min(plan.judged, collection.queries))
        rows = [messages.found(answer) for answer in judged]
        verdict = await setting.bare.run(bare.judge, collection, weights, rows, LIMIT, share)
        taken, in_server_ms = messages.plan_and_stages(answers[name])
        table[name] = {
            "plan": taken,
            "over_bare_unfiltered": round(float(np.median(ratios[name])), 3),
            "rounds": [round(ratio, 3) for ratio in ratios[name]],
            "p50_ms": round(float(np.median(served_ms[name])), 3),
            "in_server_ms": round(in_server_ms, 3),
            "recall": verdict.recall,
        }
    worst = max((name for name in table if name != _UNFILTERED), key=lambda name: np.median(ratios[name]))
    findings.settle("filtered_over_unfiltered", ratios[worst])
    findings.figures |= {
        "filtered_worst": worst,
        "filtered": table,
        "recall_exact": min(float(str(row["recall"])) for row in table.values()),
    }
    return findings
