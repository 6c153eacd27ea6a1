"""What one would search the same vectors with instead, with the same queries and number of callers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.embedder.callers import Ask, Failed
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, closed_loop
from benchmarks.embedder.processes import free_port, running, serves_grpc
from benchmarks.peers.vector_libraries import LIBRARIES
from benchmarks.report import percentiles_ms, progress
from benchmarks.vectorsearch import kinds, messages
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.collection import Collection
from benchmarks.vectorsearch.messages import LIMIT, Weights
from benchmarks.vectorsearch.setting import Setting
from benchmarks.vectorsearch.shard import knows_kinds

# Where `scripts/setup.sh bench` puts the peers' packages, which must not be found by the project's own.
PACKAGES = Path(sys.prefix) / "bench"

Row = dict[str, object]

SELECTIVITY = 0.1

_SPACE = "clip"
_WEIGHTS: Weights = {_SPACE: 1.0}
# Filling an index with every row, over whatever way a library has for it.
_START_TIMEOUT_S = 900.0
_HNSW = "hnsw"


async def measure(setting: Setting) -> Findings:
    """A table of ours and theirs. Ours is measured anew before each of theirs, and the two are compared.

    Peers with an HNSW graph are compared with ours of that kind, where the shard can be told to build one.
    """
    plan = setting.plan
    findings = Findings()
    table: dict[str, Row] = {}
    own_rows: dict[str, list[Row]] = {}
    with setting.collection(plan.peer_rows, (_SPACE,)) as collection:
        progress(f"peers: {collection.source}")
        port = await setting.serve(collection)
        async with contextlib.AsyncExitStack() as stack:
            _, exact = await stack.enter_async_context(setting.shard("ours", port))
            ours = {"ours": exact}
            if knows_kinds():
                try:
                    shard, caller = await stack.enter_async_context(
                        setting.shard("ours-hnsw", port, kind=_HNSW)
                    )
                    await kinds.built(shard, _HNSW, plan.build_s)
                    ours["ours_hnsw"] = caller
                except (RuntimeError, TimeoutError) as error:
                    table["ours_hnsw"] = {"unavailable": str(error) or "not built in time"}
            for name in plan.peers:
                library = LIBRARIES[name]
                if not _is_installed(library.package):
                    table[name] = {
                        "unavailable": f"{library.package} is not installed; `scripts/setup.sh bench` does it"
                    }
                    continue
                progress(f"peer {name}")
                own = "ours_hnsw" if library.is_graph and "ours_hnsw" in ours else "ours"
                rows = own_rows.setdefault(own, [])
                rows.append(await _row(setting, collection, ours[own], findings, own))
                try:
                    async with _peer(setting, collection, name) as (told, caller):
                        table[name] = told | await _row(setting, collection, caller, findings, name)
                    table[name] |= compare(own, rows[-1], table[name])
                except (RuntimeError, Failed) as error:
                    table[name] = {"unavailable": f"{type(error).__name__}: {error}"}
    table |= {own: median(rows) for own, rows in own_rows.items()}
    findings.figures |= {"peers": table, "peer_rows": plan.peer_rows, "peer_vectors": collection.source}
    return findings


def median(rows: Sequence[Mapping[str, object]]) -> Row:
    """The median of each figure."""
    return {name: round(float(np.median([_number(row, name) for row in rows])), 5) for name in rows[0]}


def compare(own: str, ours: Mapping[str, object], theirs: Mapping[str, object]) -> Row:
    """How many times better ours is, by figure, and in which it is behind."""
    better = {
        "queries_per_s": _number(ours, "queries_per_s") / _number(theirs, "queries_per_s"),
        "p99_ms": _number(theirs, "p99_ms") / _number(ours, "p99_ms"),
        "filtered_p50_ms": _number(theirs, "filtered_p50_ms") / _number(ours, "filtered_p50_ms"),
    }
    found: Row = {f"{own}_over_peer": {name: round(ratio, 2) for name, ratio in better.items()}}
    behind = [name for name, ratio in better.items() if ratio <= 1]
    if behind:
        found["why"] = (
            f"ours is behind in {' and '.join(behind)}, at recall {ours['recall_at_10']} against "
            f"{theirs['recall_at_10']}, and {ours['filtered_recall_at_10']} against "
            f"{theirs['filtered_recall_at_10']} when filtered"
        )
    return found


def _is_installed(package: str) -> bool:
    return bool(importlib.util.find_spec(package)) or any(PACKAGES.glob(f"{package}*"))


async def _row(
    setting: Setting, collection: Collection, caller: Caller, findings: Findings, name: str
) -> Row:
    """Throughput and p99 of many callers, and filtered searches of one."""
    plan = setting.plan
    requests = messages.searches(collection, _WEIGHTS)
    narrowed = messages.searches(collection, _WEIGHTS, selectivity=SELECTIVITY)
    window = await closed_loop([caller.search] * plan.callers, requests, window_s=plan.peer_s)
    await caller.search(requests[0], TIMEOUT_S)
    filtered_s = await _one_by_one(caller.search, narrowed, plan.peer_s / 2)
    findings.raw_s[f"peer_{name}"] = window.latencies_s
    findings.raw_s[f"peer_{name}_filtered"] = filtered_s
    return {
        "queries_per_s": round(window.rate, 1),
        **percentiles_ms(window.latencies_s),
        "errors": window.errors.total(),
        "recall_at_10": await kinds.recall(setting, collection, _WEIGHTS, caller, LIMIT),
        "filtered_p50_ms": round(float(np.median(filtered_s)) * 1e3, 3),
        "filtered_recall_at_10": await kinds.recall(
            setting, collection, _WEIGHTS, caller, LIMIT, SELECTIVITY
        ),
    }


async def _one_by_one(ask: Ask, requests: Sequence[bytes], seconds: float) -> list[float]:
    """Seconds of each call by a single caller, who goes on for so long."""
    latencies_s: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not latencies_s:
        start = time.perf_counter()
        await ask(requests[len(latencies_s) % len(requests)], TIMEOUT_S)
        latencies_s.append(time.perf_counter() - start)
    return latencies_s


@contextlib.asynccontextmanager
async def _peer(setting: Setting, collection: Collection, name: str) -> AsyncIterator[tuple[Row, Caller]]:
    """The naive server around a library, what it tells of itself, and a connection to it."""
    port, told = free_port(), setting.folder / f"{name}.json"
    arguments = [
        "benchmarks.peers.vector_server",
        *("--port", str(port), "--library", name, "--told", str(told)),
        *("--collection", str(collection.folder), "--rows", str(collection.rows), "--space", _SPACE),
        *(
            "--selectivity",
            str(SELECTIVITY),
            "--limit",
            str(LIMIT),
            "--seconds",
            str(setting.plan.peer_s / 2),
        ),
    ]
    known = os.environ.get("PYTHONPATH")
    environment = {"PYTHONPATH": os.pathsep.join([str(PACKAGES), *([known] if known else [])])}
    log = setting.folder / f"{name}.log"
    async with (
        running(arguments, log, environment, lambda: serves_grpc(port), timeout_s=_START_TIMEOUT_S),
        Caller(port) as caller,
    ):
        yield json.loads(told.read_text()), caller


def _number(row: Mapping[str, object], name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return float(value)
