"""What a card does: the models bare and served, their agreement with the CPU, and FAISS's flat index.

    benchmarks/gpu.sh [CATALOG_DIR] [--quick] [--results DIR]

A part that cannot run here says why and does not keep the others from running.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import uvloop
from torch import Tensor

from benchmarks.embedder import models, photos
from benchmarks.embedder.callers import GrpcCaller
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S, closed_loop
from benchmarks.embedder.models import Forward
from benchmarks.embedder.processes import HOST, embedder
from benchmarks.report import RESULTS, progress, publish
from services.embedder import devices, weights
from services.mesh.errors import VitrineError
from services.mesh.models_dir import models_dir_default

NO_CARD_STATUS = 3
# Its speed is that of any checkpoint of the architecture.
CLIP_ARCHITECTURE = "ViT-B-32"
NEIGHBOURS = 10

Device = Literal["cuda", "cpu"]
Figures = dict[str, object]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Buckets are batch sizes of a bare model and numbers of callers of a server."""

    buckets: tuple[int, ...] = (1, 8, 32, 64, 128, 256)
    seconds: float = 2.0
    photos: int = 256
    rows: int = 1_000_000
    queries: int = 256


FULL = Plan()
QUICK = Plan(buckets=(1, 8), seconds=0.5, photos=16, rows=20_000, queries=64)


def main() -> None:
    """Run the benchmark and print its JSON; exit 3 where there is no card."""
    parser = argparse.ArgumentParser(description="The embedder and FAISS on a CUDA card.")
    parser.add_argument("catalog_dir", type=Path, nargs="?", help="photos in images/; else the demo")
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="cpu tries this program out"
    )
    parser.add_argument("--quick", action="store_true", help="short: no figures to rely on")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("gpu: torch sees no CUDA card here", file=sys.stderr)
        raise SystemExit(NO_CARD_STATUS)
    plan = QUICK if arguments.quick else FULL
    findings = uvloop.run(_measure(arguments.catalog_dir, arguments.models_dir, arguments.device, plan))
    publish("gpu", findings.published, findings.raw_s, directory=arguments.results)


async def _measure(catalog: Path | None, models_dir: Path, device: Device, plan: Plan) -> Findings:
    findings = Findings()
    sample = await asyncio.to_thread(photos.load, catalog, plan.photos)
    pixels = torch.from_numpy(np.resize(sample.pixels, (max(plan.buckets), 224, 224, 3)))
    findings.figures |= {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "resnet50": await _part("resnet50", lambda: _resnet50(models_dir, pixels, device, plan)),
        "clip": await _part("clip", lambda: _clip(models_dir, pixels, device, plan)),
        "agreement": await _part("agreement", lambda: _agreement(models_dir, pixels, device)),
        "faiss": await _part("faiss", lambda: _faiss(device, plan)),
    }
    for space, part in (("resnet50", "resnet50"), ("clip", "clip")):
        served = await _served_part(space, models_dir, sample.jpegs, device, plan)
        figures = findings.figures[part]
        assert isinstance(figures, dict)
        figures["served_images_per_s"] = served
    return findings


async def _part(name: str, measure: Callable[[], Figures]) -> Figures:
    progress(name)
    try:
        return await asyncio.to_thread(measure)
    except (ImportError, OSError, VitrineError, RuntimeError) as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}


def _resnet50(models_dir: Path, pixels: Tensor, device: Device, plan: Plan) -> Figures:
    return _bare(models.served(models_dir, device=device), pixels, plan)


def _clip(models_dir: Path, pixels: Tensor, device: Device, plan: Plan) -> Figures:
    # It takes many seconds to import.
    import open_clip  # noqa: PLC0415

    from services.embedder.models.open_clip import OpenClip, load  # noqa: PLC0415

    checkpoint = _clip_checkpoint(models_dir)
    if checkpoint is None:
        model = open_clip.create_model(CLIP_ARCHITECTURE, pretrained=None)
        clip = OpenClip(model.eval().requires_grad_(False), open_clip.get_tokenizer(CLIP_ARCHITECTURE))
        source = f"{CLIP_ARCHITECTURE}, random weights: for speed alone"
    else:
        architecture, path = checkpoint
        clip = load(architecture, path)
        source = architecture
    placement = devices.choose(device)
    clip = clip.place(placement.device, placement.dtype)

    def compute(images: Tensor) -> Tensor:
        return clip.encode_images(images[:, : clip.image_size, : clip.image_size])

    dtype = str(placement.dtype).removeprefix("torch.")
    return {"weights": source, **_bare(Forward(str(placement.device), dtype, compute), pixels, plan)}


def _clip_checkpoint(models_dir: Path) -> tuple[str, Path] | None:
    """Architecture and file of an open_clip checkpoint in the models directory."""
    try:
        manifest = weights.read(models_dir, "clip")
    except VitrineError:
        return None
    if manifest.architecture == weights.DUAL_ENCODER:
        return None
    return manifest.architecture, models_dir / "clip" / next(iter(manifest.files))


def _bare(forward: Forward, pixels: Tensor, plan: Plan) -> Figures:
    on_device = pixels.to(forward.device)
    return {
        "device": forward.device,
        "dtype": forward.dtype,
        # Pictures lie on the device already, results stay there.
        "bare_images_per_s": {
            str(bucket): _rate(partial(forward.compute, on_device[:bucket]), bucket, plan.seconds)
            for bucket in plan.buckets
        },
        # From main memory and back, as a server must.
        "bare_with_copies_images_per_s": {
            str(bucket): _rate(partial(forward.run, pixels[:bucket]), bucket, plan.seconds)
            for bucket in plan.buckets
        },
    }


def _rate(run: Callable[[], object], items: int, seconds: float) -> float:
    """Items a second of repeated runs."""
    for _ in range(3):
        run()
    _synchronise()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        done += items
        # Work is queued for the card much faster than it is done, and must not pile up for minutes.
        _synchronise()
    return round(done / (time.perf_counter() - start), 2)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


async def _served_part(
    space: str, models_dir: Path, jpegs: Sequence[bytes], device: Device, plan: Plan
) -> Figures:
    progress(f"{space}, served")
    if space == "clip" and _clip_checkpoint(models_dir) is None:
        return {"unavailable": "no checkpoint of that architecture; random weights are never served"}
    tiny = photos.requests([photos.tiny(jpeg) for jpeg in jpegs], space)
    whole = photos.requests(jpegs, space)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        module = ("services.embedder", "--device", device)
        try:
            async with (
                embedder(models_dir, Path(folder) / "embedder.log", module=module) as server,
                GrpcCaller(HOST, server.port) as caller,
            ):
                for name, requests in (("tiny", tiny), ("jpeg", whole)):
                    rates = {}
                    for bucket in plan.buckets:
                        window = await closed_loop([caller.ask] * bucket, requests, window_s=plan.seconds)
                        rates[str(bucket)] = round(window.rate, 2)
                        await caller.ask(requests[0], TIMEOUT_S)
                    figures[name] = rates
        except RuntimeError as error:
            figures["unavailable"] = str(error)
    return figures


def _agreement(models_dir: Path, pixels: Tensor, device: Device) -> Figures:
    """Cosines between the vectors of the device, in its format, and those of the CPU in float32."""
    fast = models.served(models_dir, device=device).run(pixels)
    exact = models.served(models_dir, device="cpu", dtype="float32").run(pixels)
    cosines = torch.nn.functional.cosine_similarity(fast, exact)
    return {
        "pictures": len(pixels),
        "min_cosine": round(float(cosines.min()), 6),
        "mean_cosine": round(float(cosines.mean()), 6),
    }


def _faiss(device: Device, plan: Plan) -> Figures:
    """A flat index of random unit vectors against numpy's exact answer, and its speed on both devices."""
    import faiss  # noqa: PLC0415 - it is an extra, and the card's build of it another one

    chance = np.random.default_rng(7)
    rows, queries = _unit(chance, plan.rows), _unit(chance, plan.queries)
    exact = np.stack([_nearest(rows @ query) for query in queries])
    cpu = faiss.IndexFlatIP(rows.shape[1])
    cpu.add(rows)
    figures: Figures = {
        "version": faiss.__version__,
        "rows": plan.rows,
        "dimension": rows.shape[1],
        "cpu": _searched(cpu, queries, exact, plan),
    }
    if device == "cuda":
        figures["gpu"] = _on_card(faiss, rows, queries, exact, plan)
    return figures


def _on_card(faiss: Any, rows: Floats, queries: Floats, exact: npt.NDArray[np.int64], plan: Plan) -> Figures:
    if not getattr(faiss, "get_num_gpus", lambda: 0)():
        return {"unavailable": "this build of FAISS has no GPU support, or sees no card"}
    resources = faiss.StandardGpuResources()
    index = faiss.GpuIndexFlatIP(resources, rows.shape[1])
    index.add(rows)
    return _searched(index, queries, exact, plan)


def _searched(index: Any, queries: Floats, exact: npt.NDArray[np.int64], plan: Plan) -> Figures:
    _, found = index.search(queries, NEIGHBOURS)
    shared = [len(set(mine) & set(theirs)) for mine, theirs in zip(found, exact, strict=True)]
    return {
        "recall_at_10": round(float(np.mean(shared)) / NEIGHBOURS, 5),
        "same_top_10": round(float(np.mean((found == exact).all(axis=1))), 5),
        "queries_per_s": {
            str(batch): _rate(partial(index.search, queries[:batch], NEIGHBOURS), batch, plan.seconds)
            for batch in (1, plan.queries)
        },
    }


def _nearest(scores: Floats) -> npt.NDArray[np.int64]:
    best = np.argpartition(scores, -NEIGHBOURS)[-NEIGHBOURS:]
    return best[np.argsort(-scores[best])]


def _unit(chance: np.random.Generator, count: int) -> Floats:
    vectors = chance.standard_normal((count, 512), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
