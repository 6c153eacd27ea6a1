"""What one would serve the same model with instead, on the same photos with the same number of callers."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.embedder.answers import stages_ms
from benchmarks.embedder.callers import Ask, HttpCaller, http_post
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, Window, closed_loop
from benchmarks.embedder.plan import Plan
from benchmarks.embedder.processes import HOST, Server, peer
from benchmarks.report import percentiles_ms, progress

# Where `scripts/setup.sh bench` puts the peers' packages: beside those of the project, which must not find
# them. uvicorn for one behaves differently where it does.
PACKAGES = Path(sys.prefix) / "bench"

_BOUNDARY = "boundary-of-a-photo"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of `benchmarks.peers`, the package it needs, and how a photo is sent to it."""

    module: str
    package: str
    request: Callable[[bytes], bytes]


def _multipart(jpeg: bytes) -> bytes:
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + jpeg + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return http_post("/embed", f"multipart/form-data; boundary={_BOUNDARY}", body)


def _json(jpeg: bytes) -> bytes:
    body = json.dumps({"image": base64.b64encode(jpeg).decode()}).encode()
    return http_post("/predict", "application/json", body)


PEERS = (Peer("fastapi_server", "fastapi", _multipart), Peer("litserve_server", "litserve", _json))


async def measure(
    ask: Ask,
    requests: Sequence[bytes],
    jpegs: Sequence[bytes],
    models_dir: Path,
    folder: Path,
    plan: Plan,
) -> Findings:
    """A table of ours and theirs. Ours is measured anew before each of theirs, and the two are compared."""
    findings = Findings()
    table: dict[str, dict[str, object]] = {}
    own: list[Window] = []
    for each in PEERS:
        for variant in plan.variants:
            name = f"{each.module.removesuffix('_server')}_{variant}"
            if not _is_installed(each.package):
                table[name] = {
                    "unavailable": f"{each.package} is not installed; `scripts/setup.sh bench` does that"
                }
                continue
            progress(f"peer {name}")
            own.append(await closed_loop([ask] * plan.callers, requests, window_s=plan.served_s))
            await ask(requests[0], TIMEOUT_S)
            async with _running(each, variant, models_dir, folder / f"{name}.log") as server:
                callers = [HttpCaller(HOST, server.port) for _ in range(plan.callers)]
                sent = [each.request(jpeg) for jpeg in jpegs]
                # Its first calls pay for allocations, as our warm-up does before it says that it serves.
                for request in sent[:2]:
                    await callers[0].ask(request, TIMEOUT_S)
                window = await closed_loop([caller.ask for caller in callers], sent, window_s=plan.peer_s)
                memory_mb = server.rss_mb
                for caller in callers:
                    caller.close()
            table[name] = {**row(window), "rss_mb": memory_mb, **compare(own[-1], window)}
            findings.raw_s[f"peer_{name}"] = window.latencies_s
    if own:
        rows = [row(window) for window in own]
        table["ours"] = {
            figure: round(float(np.median([each[figure] for each in rows])), 2) for figure in rows[0]
        }
    findings.figures["peers"] = table
    return findings


def row(window: Window) -> dict[str, float]:
    """Throughput, percentiles and errors of a window."""
    latencies = percentiles_ms(window.latencies_s)
    return {"images_per_s": round(window.rate, 2), **latencies, "errors": window.errors.total()}


def compare(ours: Window, theirs: Window) -> dict[str, object]:
    """How many times better ours is, by figure; where it is not, what our stages say of the reason."""
    mine, other = row(ours), row(theirs)
    better = {
        "images_per_s": mine["images_per_s"] / other["images_per_s"],
        "p50_ms": other["p50_ms"] / mine["p50_ms"],
        "p99_ms": other["p99_ms"] / mine["p99_ms"],
    }
    found: dict[str, object] = {"ours_over_peer": {name: round(ratio, 2) for name, ratio in better.items()}}
    behind = [name for name, ratio in better.items() if ratio <= 1]
    if behind:
        stages = ", ".join(f"{name} {took:g} ms" for name, took in stages_ms(ours.samples).items())
        found["why"] = f"ours is behind in {' and '.join(behind)}; of its median answer: {stages}"
    return found


def _is_installed(package: str) -> bool:
    return bool(importlib.util.find_spec(package)) or (PACKAGES / package).is_dir()


@contextlib.asynccontextmanager
async def _running(each: Peer, variant: str, models_dir: Path, log: Path) -> AsyncIterator[Server]:
    arguments = ["--variant", variant, "--models-dir", str(models_dir)]
    async with peer(each.module, arguments, log, _environment()) as server:
        yield server


def _environment() -> Mapping[str, str]:
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(PACKAGES), *([known] if known else [])])}
