"""The vectorsearch service against FAISS used plainly, and against peers.

python -m benchmarks.vectorsearch [CATALOGUES] [--quick] [--large] [--results DIR]

docs/benchmarks.md tells the method.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import uvloop

from benchmarks.embedder.findings import Findings
from benchmarks.report import RESULTS, progress, publish
from benchmarks.vectorsearch import filtering, hybrid, kinds, memory, peers, restarting, serving, writing
from benchmarks.vectorsearch.collection import DIMENSIONS, Collection
from benchmarks.vectorsearch.kept import Kept
from benchmarks.vectorsearch.plan import FULL, QUICK
from benchmarks.vectorsearch.setting import NoRoom, Setting, Worker
from services.mesh.models_dir import models_dir_default

# What is read first stands on top: the worst of all row counts.
_WORST: Mapping[str, Callable[..., float]] = {
    "coalescing_gain": min,
    "batch_efficiency": min,
    "hop_over_echo_p50_ms": max,
    "hop_over_echo_p99_ms": max,
    "filtered_over_unfiltered": max,
    "recall_exact": min,
    "p99_while_writing": max,
}


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="The vectorsearch service against plain FAISS and peers.")
    parser.add_argument(
        "catalogues", type=Path, nargs="?", help="a folder of catalogues; without it vectors are made up"
    )
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument(
        "--quick", action="store_true", help="every part once and short; no figure to rely on"
    )
    parser.add_argument("--large", action="store_true", help="a million rows of 128-d too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    kept = _embedded(arguments.catalogues, arguments.models_dir) if arguments.catalogues else None
    with tempfile.TemporaryDirectory() as folder, _worker() as bare, _worker() as feed:
        setting = Setting(plan, kept, bare, feed, Path(folder))
        findings = uvloop.run(_measure(setting, large=arguments.large))
    publish("vectorsearch", findings.published, findings.raw_s, directory=arguments.results)


def _embedded(catalogues: Path, models_dir: Path) -> Kept:
    """The vectors of all photos. A process of its own embeds them, and takes the models away with it."""
    command = [sys.executable, "-m", "benchmarks.vectorsearch.photos", str(catalogues)]
    command += ["--models-dir", str(models_dir)]
    progress("the vectors of the photos; the first time takes minutes")
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        raise SystemExit(ended.returncode)
    return Kept(Path(ended.stdout.strip()))


@contextlib.contextmanager
def _worker() -> Iterator[Worker]:
    # Spawned, since a fork of a process that uses gRPC hangs.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Worker(pool)


async def _measure(setting: Setting, *, large: bool) -> Findings:
    plan = setting.plan
    findings = Findings()
    findings.figures |= {"quick": plan is QUICK, "callers": plan.callers}
    empty_bytes = await memory.empty_rss_bytes(setting)
    findings.figures["empty_rss_mb"] = round(empty_bytes / 1e6, 1)
    sizes = [(rows, "clip") for rows in plan.row_counts] + [(plan.large_rows, "triplet")] * large
    by_size: dict[str, Mapping[str, object]] = {}
    for rows, space in sizes:
        name = f"{rows}x{DIMENSIONS[space]}"
        try:
            with setting.collection(rows, (space,)) as collection:
                progress(f"{name}: {collection.source}")
                found = await _size(setting, collection, empty_bytes, with_kinds=rows != plan.large_rows)
        except NoRoom as reason:
            by_size[name] = {"unavailable": str(reason)}
            continue
        by_size[name] = found.published
        findings.raw_s |= {f"{name}_{part}": values for part, values in found.raw_s.items()}
    findings.figures["sizes"] = by_size
    findings.figures |= worst(by_size)
    parts: dict[str, Callable[[], Awaitable[Findings]]] = {
        "hybrid": lambda: hybrid.measure(setting, empty_bytes),
        "restart": lambda: restarting.measure(setting),
        "peers": lambda: peers.measure(setting),
    }
    for part, measure in parts.items():
        try:
            findings.add(await measure())
        except NoRoom as reason:
            findings.figures[f"{part}_unavailable"] = str(reason)
    return findings


async def _size(setting: Setting, collection: Collection, empty_bytes: int, *, with_kinds: bool) -> Findings:
    """All that is measured in one space."""
    (space,) = collection.spaces
    weights = {space: 1.0}
    best, findings = await serving.bare_best(setting, collection, weights)
    findings.figures |= {"rows": collection.rows, "vectors": collection.source, "queries": collection.queries}
    port = await setting.serve(collection)
    if with_kinds:
        # Before anything is written: all of them shall hold the same rows.
        table = await kinds.measure(setting, collection, weights, port, empty_bytes)
        findings.figures["kinds"] = table
    async with setting.shard("auto", port) as (shard, caller):
        findings.figures["memory_over_live"] = await memory.over_live(collection, shard, empty_bytes)
        findings.add(await serving.measure(setting, collection, weights, caller, best))
        findings.add(await filtering.measure(setting, collection, weights, caller, best))
        sustained = findings.figures["served_queries_per_s"]
        assert isinstance(sustained, float)
        findings.add(await writing.measure(setting, collection, weights, shard, caller, sustained))
        findings.figures["memory_over_live_after_writing"] = await memory.over_live(
            collection, shard, empty_bytes
        )
    return findings


def worst(by_size: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The worst of all row counts that were measured, by figure."""
    return {
        name: judge([float(str(size[name])) for size in measured])
        for name, judge in _WORST.items()
        if (measured := [size for size in by_size.values() if name in size])
    }


if __name__ == "__main__":
    main()
