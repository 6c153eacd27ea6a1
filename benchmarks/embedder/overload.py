"""Five times more requests than can be served: what is answered in time, and how soon others hear of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.embedder.callers import Ask
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, Arrival, closed_loop, open_loop
from benchmarks.embedder.plan import Plan
from benchmarks.report import percentiles_ms, progress

FACTOR = 5.0
# Quiet is half of what can be served: requests come at random, and sometimes two at once.
QUIET = 0.5
REFUSED = "RESOURCE_EXHAUSTED"

# However slow the machine, as many are looked at.
_QUIET_ARRIVALS = 10
# A service that has just been flooded learns in this time what it can do.
_SETTLE_S = 1.0


async def measure(ask: Ask, requests: Sequence[bytes], sustainable: float, plan: Plan) -> Findings:
    """Goodput under overload over the peak rate; `sustainable` is that rate as it was measured before."""
    findings = Findings()
    progress("quiet arrivals")
    rate = QUIET * sustainable
    quiet_s = max(plan.quiet_s, _QUIET_ARRIVALS / rate)
    quiet = [
        await open_loop(ask, requests, rate=rate, seconds=quiet_s, deadline_s=TIMEOUT_S, seed=seed)
        for seed in range(plan.quiet_rounds)
    ]
    quiet_p99s = [percentiles_ms(_latencies_s(each, "OK"))["p99_ms"] for each in quiet]
    deadline_s = 2e-3 * findings.settle("quiet_p99_ms", quiet_p99s)
    goodputs, reject_p99s, cpu_shares = [], [], []
    flood: list[Arrival] = []
    for number in range(plan.overload_rounds):
        peak = await closed_loop([ask] * plan.callers, requests, window_s=plan.served_s)
        await ask(requests[0], TIMEOUT_S)
        start, start_cpu = time.perf_counter(), time.process_time()
        arrivals = await open_loop(
            ask,
            requests,
            rate=FACTOR * sustainable,
            seconds=_SETTLE_S + plan.overload_s,
            deadline_s=deadline_s,
            seed=100 + number,
        )
        cpu_shares.append((time.process_time() - start_cpu) / (time.perf_counter() - start))
        await ask(requests[0], TIMEOUT_S)
        arrivals = [arrival for arrival in arrivals if arrival.at_s >= _SETTLE_S]
        goodputs.append(good(arrivals, deadline_s) / plan.overload_s / peak.rate)
        refused_s = _latencies_s(arrivals, REFUSED)
        if refused_s:
            reject_p99s.append(percentiles_ms(refused_s)["p99_ms"])
        flood += arrivals
        progress(f"overload {number + 1} of {plan.overload_rounds}: goodput {goodputs[-1]:.3f} of the peak")
    findings.settle("overload_goodput_ratio", goodputs)
    findings.figures["overload_reject_p99_ms"] = None
    if reject_p99s:
        findings.settle("overload_reject_p99_ms", reject_p99s)
    answered_s = _latencies_s(flood, "OK")
    findings.figures |= {
        "overload": {
            "arrivals_per_s": round(FACTOR * sustainable, 1),
            "deadline_ms": round(deadline_s * 1e3, 1),
            "outcomes": dict(Counter(arrival.code for arrival in flood)),
            "answered": percentiles_ms(answered_s) if answered_s else None,
            # Should the load generator fall behind, these tell.
            "sent_late_p99_ms": percentiles_ms([arrival.late_s for arrival in flood])["p99_ms"],
            "client_cpu_share": round(float(np.mean(cpu_shares)), 3),
        }
    }
    findings.raw_s |= {
        "quiet": [latency for arrivals in quiet for latency in _latencies_s(arrivals, "OK")],
        "overload_answered": answered_s,
        "overload_refused": _latencies_s(flood, REFUSED),
    }
    return findings


def good(arrivals: Sequence[Arrival], deadline_s: float) -> int:
    """How many were answered with vectors, and in time."""
    return sum(arrival.code == "OK" and arrival.latency_s <= deadline_s for arrival in arrivals)


def _latencies_s(arrivals: Sequence[Arrival], code: str) -> list[float]:
    return [arrival.latency_s for arrival in arrivals if arrival.code == code]
