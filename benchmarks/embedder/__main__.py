"""The embedder against the bare model, under overload and against peers.

python -m benchmarks.embedder [CATALOG_DIR] [--quick] [--results DIR]

docs/benchmarks.md tells the method.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.embedder import bare, departures, overload, peers, photos, serving
from benchmarks.embedder.callers import GrpcCaller
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.photos import Photos
from benchmarks.embedder.plan import FULL, QUICK, Plan
from benchmarks.embedder.processes import HOST, embedder
from benchmarks.embedder.serving import Bare, Requests
from benchmarks.report import RESULTS, progress, publish
from services.mesh.channel import call, connect
from services.mesh.models_dir import models_dir_default
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc


@dataclass(frozen=True, slots=True)
class Run:
    """What this run was asked for."""

    catalog: Path | None
    models_dir: Path
    plan: Plan


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="The embedder against the bare model and against peers.")
    parser.add_argument(
        "catalog_dir", type=Path, nargs="?", help="a folder with images/; without it the demo's"
    )
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument(
        "--quick", action="store_true", help="every part once and short; no figure to rely on"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    run = Run(arguments.catalog_dir, arguments.models_dir, QUICK if arguments.quick else FULL)
    sample = photos.load(run.catalog, run.plan.photos)
    with (
        tempfile.TemporaryDirectory() as folder,
        # Spawned, since a fork of a process that uses gRPC hangs.
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        findings = uvloop.run(_measure(run, sample, pool, Path(folder)))
    publish("embedder", findings.published, findings.raw_s, directory=arguments.results)


async def _measure(run: Run, sample: Photos, pool: ProcessPoolExecutor, folder: Path) -> Findings:
    progress(f"{len(sample.jpegs)} photos; starting the embedder and the bare model")
    findings = Findings()
    findings.figures |= {
        "quick": run.plan is QUICK,
        "photos": len(sample.jpegs),
        "photo_mean_pixels": sample.mean_pixels,
        "photo_mean_bytes": sample.mean_bytes,
        "callers": run.plan.callers,
    }
    requests = Requests(
        photos.requests(sample.jpegs), photos.requests([photos.tiny(jpeg) for jpeg in sample.jpegs])
    )
    # At once with the server.
    preparing = pool.submit(bare.prepare, run.models_dir, sample.pixels[: bare.MAX_BATCH])
    async with (
        embedder(run.models_dir, folder / "embedder.log") as server,
        GrpcCaller(HOST, server.port) as caller,
    ):
        description = await asyncio.wrap_future(preparing)
        ask = caller.ask
        await _require_same(server.address, description.dtype)
        model = Bare(pool, description)
        findings.add(await serving.measure(server, ask, requests, model, run.plan))
        sustainable = findings.figures["served_images_per_s"]
        assert isinstance(sustainable, float)
        findings.add(await overload.measure(ask, requests.jpeg, sustainable, run.plan))
        findings.add(await peers.measure(ask, requests.jpeg, sample.jpegs, run.models_dir, folder, run.plan))
        findings.figures["rss_after_mb"] = server.rss_mb
    findings.add(await departures.measure(run.models_dir, folder, run.plan))
    return findings


async def _require_same(address: str, dtype: str) -> None:
    """Raises RuntimeError unless the server computes in that number format."""
    channel = connect(address)
    models = await call(
        embedder_pb2_grpc.EmbedderServiceStub(channel).ListModels,
        embedder_pb2.ListModelsRequest(),
        timeout_s=30,
    )
    await channel.close()
    served = {model.dtype for model in models.models if model.spec.space == photos.SPACE}
    if served != {dtype}:
        raise RuntimeError(f"the bare model computes in {dtype}, the server in {served or 'nothing'}")


if __name__ == "__main__":
    main()
