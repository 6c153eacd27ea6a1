"""How soon a shard that was killed answers again from its snapshot."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S
from benchmarks.report import progress
from benchmarks.vectorsearch import messages
from benchmarks.vectorsearch.callers import Caller
from benchmarks.vectorsearch.hybrid import WEIGHTS
from benchmarks.vectorsearch.setting import Setting
from benchmarks.vectorsearch.shard import Shard, shard
from services.mesh.errors import VitrineError

_BLOCK_BYTES = 1 << 24


async def measure(setting: Setting) -> Findings:
    """Seconds from the start of a process until it is healthy and a search answers as before it was killed.

    With the snapshot's pages in memory (warm) and with them dropped (cold).
    """
    plan = setting.plan
    findings = Findings()
    with setting.collection(plan.restart_rows, tuple(WEIGHTS)) as collection:
        progress(f"restarts: {collection.source}")
        port = await setting.serve(collection)
        folder = setting.folder / "restart"
        question = messages.searches(collection, WEIGHTS)[0]
        start = time.perf_counter()
        async with shard(folder, port) as first, Caller(first.server.port) as caller:
            findings.figures["first_start_s"] = round(time.perf_counter() - start, 2)
            expected = messages.found(await caller.search(question, TIMEOUT_S))
            start = time.perf_counter()
            try:
                await first.snapshot()
            except VitrineError as error:
                return _unavailable(findings, f"no snapshot: {error.message}")
            findings.figures["snapshot_s"] = round(time.perf_counter() - start, 2)
            _kill(first)
        files = [path for path in (folder / "data").rglob("*") if path.is_file()]
        findings.figures |= {
            "restart_rows": collection.rows,
            "restart_vectors": collection.source,
            "snapshot_bytes": sum(path.stat().st_size for path in files),
        }
        for name, prepare in (("restart_ready_s", _read), ("restart_ready_cold_s", _drop)):
            took_s = []
            for _ in range(plan.restarts):
                await asyncio.to_thread(_each, prepare, folder / "data")
                start = time.perf_counter()
                async with shard(folder, port) as again, Caller(again.server.port) as caller:
                    answer = await caller.search(question, TIMEOUT_S)
                    took_s.append(time.perf_counter() - start)
                    if messages.found(answer) != expected:
                        return _unavailable(findings, "another answer than before the kill")
                    _kill(again)
            findings.settle(name, took_s)
    return findings


def _unavailable(findings: Findings, why: str) -> Findings:
    findings.figures |= {"restart_ready_s": None, "restart_unavailable": why}
    return findings


def _kill(running: Shard) -> None:
    running.server.process.kill()
    running.server.process.wait()


def _each(prepare: Callable[[Path], None], directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            prepare(path)


def _read(path: Path) -> None:
    """Have a file's pages in memory."""
    with path.open("rb", buffering=0) as file:
        while file.read(_BLOCK_BYTES):
            pass


def _drop(path: Path) -> None:
    """Have none of a file's pages in memory; those that are not on disk yet are written first."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
