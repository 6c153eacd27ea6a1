"""Where a benchmark's figures go: a JSON object on the last line, and a file with the raw latencies."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def percentiles_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    p50, p95, p99 = np.percentile(np.asarray(latencies_s) * 1e3, [50, 95, 99])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "p99_ms": round(float(p99), 2)}


def progress(message: str) -> None:
    """Tell on stderr what is being done."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


def publish(
    name: str,
    figures: Mapping[str, object],
    raw_s: Mapping[str, Sequence[float]],
    *,
    directory: Path = RESULTS,
) -> None:
    """Write `<directory>/<name>.json` with `figures` and the raw latencies in seconds; print the figures."""
    machine = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    document = {
        "benchmark": name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
    } | dict(figures)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(json.dumps(document | {"raw_s": {key: list(values) for key, values in raw_s.items()}}))
    print(json.dumps(document))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
