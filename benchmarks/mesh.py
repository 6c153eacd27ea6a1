"""The whole mesh on one machine, against the bare model.

    python -m benchmarks.mesh CATALOG_DIR [--photos 600]

Measures, in this order and in one run: the bare forward of the shared trunk (best batch, and one photo); the
rate of `vitrine index` into a fresh mesh; latencies of product and photo queries, each query distinct and the
cache off; 16 callers at once; the resident memory of all services.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.report import percentiles_ms, publish
from services.embedder.engine import Engine
from services.embedder.images import decode
from services.mesh.channel import call, connect
from services.mesh.errors import VitrineError
from services.mesh.models_dir import models_dir_default
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, search_pb2, search_pb2_grpc

PORT_BASE = 58051
HTTP_PORT = 58080
CATALOG = "bench"
NO_CACHE = Duration(seconds=0)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Bare:
    """What the model does without any serving: all available spaces, decoded pictures, no gRPC."""

    photos_per_s: float
    one_photo_ms: float
    dtype: str


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="The whole mesh against the bare model.")
    parser.add_argument("catalog_dir", type=Path)
    parser.add_argument("--photos", type=int, default=600, help="photos to index; 0 for all")
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sample = _sample(arguments.catalog_dir, Path(folder) / "catalogue", arguments.photos)
        photos = sorted((sample / "images").iterdir())
        bare = bare_forward(arguments.models_dir, photos)
        up = _start(Path(folder) / "data", arguments.models_dir)
        try:
            index = _index(sample)
            figures, raw = asyncio.run(_queries(photos))
            resident = {child.name() + f":{child.pid}": child.memory_info().rss for child in up.children()}
        finally:
            up.terminate()
            up.wait(60)
    photos_per_s = index["photos"] / index["seconds"]
    publish(
        "mesh",
        {
            "photos": index["photos"],
            "bare_forward_photos_per_s": round(bare.photos_per_s, 2),
            "bare_forward_dtype": bare.dtype,
            "index_photos_per_s": round(photos_per_s, 2),
            "index_over_bare": round(photos_per_s / bare.photos_per_s, 3),
            "bare_one_photo_ms": round(bare.one_photo_ms, 1),
            "product_query_over_empty_rpc": round(
                figures["product_query"]["p50_ms"] / figures["empty_rpc"]["p50_ms"], 1
            ),
            "photo_query_over_bare": round(figures["photo_query"]["p50_ms"] / bare.one_photo_ms, 2),
            "resident_mb": round(sum(resident.values()) / 1e6),
            "resident_by_process_mb": {name: round(size / 1e6) for name, size in resident.items()},
        }
        | figures,
        raw,
    )


def _sample(source: Path, target: Path, photos: int) -> Path:
    with (source / "products.csv").open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        columns = list(reader.fieldnames or ())
    random.Random(7).shuffle(rows)
    rows = rows[: photos or None]
    (target / "images").mkdir(parents=True)
    with (target / "products.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        shutil.copyfile(source / "images" / row["image"], target / "images" / row["image"])
    return target


def bare_forward(models_dir: Path, photos: Sequence[Path]) -> Bare:
    """What the model alone does with some photos."""
    engine = Engine(models_dir)
    spaces = [space.name for space in engine.spaces if not space.unavailable_reason]
    pixels = np.stack([decode(path.read_bytes(), engine.image_size) for path in photos[:64]])
    rates = []
    for batch in (8, 16, 32):
        engine.embed_images(pixels[:batch], spaces)
        start, done = time.perf_counter(), 0
        for position in range(0, len(pixels), batch):
            done += len(pixels[position : position + batch])
            engine.embed_images(pixels[position : position + batch], spaces)
        rates.append(done / (time.perf_counter() - start))
    single = []
    for position in range(15):
        start = time.perf_counter()
        engine.embed_images(pixels[position : position + 1], spaces)
        single.append(time.perf_counter() - start)
    return Bare(max(rates), float(np.median(single)) * 1e3, engine.spaces[0].dtype)


def _start(data_dir: Path, models_dir: Path) -> psutil.Popen:
    up = psutil.Popen(
        [
            *(
                sys.executable,
                "-m",
                "vitrine",
                "up",
                "--port-base",
                str(PORT_BASE),
                "--http-port",
                str(HTTP_PORT),
            ),
            *("--data-dir", str(data_dir), "--models-dir", str(models_dir)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"VITRINE_DATA_DIR": str(data_dir)},
    )
    give_up = time.monotonic() + 120
    while subprocess.run(
        [sys.executable, "-m", "vitrine", "status", "--json", "--server", f"127.0.0.1:{PORT_BASE}"],
        capture_output=True,
        check=False,
    ).returncode:
        if up.poll() is not None or time.monotonic() > give_up:
            raise SystemExit("the mesh did not start; run `vitrine up` to see why")
        time.sleep(1)
    return up


def _index(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "vitrine", "index", str(folder), "--catalog", CATALOG, "--json"]
    start = time.perf_counter()
    subprocess.run([*command, "--server", f"127.0.0.1:{PORT_BASE}"], check=True, stdout=subprocess.PIPE)
    return {"seconds": time.perf_counter() - start, "photos": len(list((folder / "images").iterdir()))}


async def _queries(photos: Sequence[Path]) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    channel = connect(f"127.0.0.1:{PORT_BASE}")
    search = search_pb2_grpc.SearchServiceStub(channel)
    listing = await call(
        catalog_pb2_grpc.CatalogServiceStub(channel).ListProducts,
        catalog_pb2.ListProductsRequest(parent=f"catalogs/{CATALOG}", page_size=1000),
        timeout_s=30,
    )
    products = [product.name for product in listing.products]

    async def ask(part: search_pb2.QueryPart) -> None:
        request = search_pb2.SearchRequest(
            catalog=f"catalogs/{CATALOG}", parts=[part], max_staleness=NO_CACHE
        )
        await call(search.Search, request, timeout_s=30)

    by_product = [search_pb2.QueryPart(product=name) for name in products[:400]]
    by_photo = [
        search_pb2.QueryPart(image=common_pb2.Image(content=path.read_bytes())) for path in photos[:60]
    ]
    health = health_pb2_grpc.HealthStub(channel)

    async def check(request: health_pb2.HealthCheckRequest) -> None:
        await call(health.Check, request, timeout_s=5)  # type: ignore[attr-defined]

    # The first calls pay for connections and allocations that later ones do not.
    await _one_by_one(ask, [*by_product[:10], *by_photo[:10]])
    raw = {
        "empty_rpc": await _one_by_one(check, [health_pb2.HealthCheckRequest()] * 200),
        "product_query": await _one_by_one(ask, by_product[10:]),
        "photo_query": await _one_by_one(ask, by_photo[10:]),
    }
    mixed = [*by_product[:320], *by_photo[:16]]
    random.Random(7).shuffle(mixed)
    raw["callers_16"], errors = await _at_once(ask, mixed, callers=16)
    await channel.close()
    figures: dict[str, dict[str, float]] = {
        name: percentiles_ms(latencies) for name, latencies in raw.items()
    }
    figures["callers_16"]["errors"] = errors
    return figures, raw


async def _one_by_one(ask: Callable[[Item], Awaitable[None]], items: Sequence[Item]) -> list[float]:
    latencies = []
    for item in items:
        start = time.perf_counter()
        await ask(item)
        latencies.append(time.perf_counter() - start)
    return latencies


async def _at_once(
    ask: Callable[[Item], Awaitable[None]], items: Sequence[Item], *, callers: int
) -> tuple[list[float], int]:
    waiting = iter(items)
    latencies: list[float] = []
    errors = 0

    async def caller() -> None:
        nonlocal errors
        # All callers take from the one iterator.
        for item in waiting:
            start = time.perf_counter()
            try:
                await ask(item)
            except VitrineError as error:
                errors += 1
                print(json.dumps({"error": str(error)}), file=sys.stderr)
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies, errors


if __name__ == "__main__":
    main()
