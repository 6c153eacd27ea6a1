"""A rollout with real processes: all pods are replaced, and a shard's replica killed, while callers search.

python -m benchmarks.rollout [--calls 20000] [--per-s 60] [--results DIR]

The calls are those of `vitrine.client.AsyncClient` with its own deadlines and retries (of UNAVAILABLE
and CANCELLED, four attempts at most, throttled). It needs redis-server and the MongoDB engine that
`scripts/setup.sh test` installs. docs/benchmarks.md tells the method.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import RESULTS, progress, publish
from benchmarks.rollout import callers, deployment, drill
from benchmarks.rollout.deployment import CONNECTION_AGE_S, Component
from benchmarks.rollout.drill import Outcome
from benchmarks.rollout.names import TTL_S, Names
from benchmarks.rollout.pods import PORT
from services.mesh.models_dir import models_dir_default
from tests.drawings import CATEGORIES, COLOURS, draw
from tests.engines import redis
from tests.engines.mongo.engine import MongoEngine
from vitrine.client.asynchronous import AsyncClient

CATALOG = "rollout"
# A photo costs the embedder a hundred times what any other query costs the whole mesh.
PHOTO_SHARE = 0.03

# Of each kind in each colour. Vectors of photos are remembered: few are asked for twice.
_PRODUCTS = 4
_QUERIES = 40


def main() -> None:
    """Run the drill and print its JSON; the process ends with status 1 where a call failed or was late."""
    parser = argparse.ArgumentParser(description="Every pod is replaced while callers search.")
    parser.add_argument("--calls", type=int, default=20_000, help="at least so many during the rollout")
    parser.add_argument("--per-s", type=float, default=60.0, help="calls begun in a second")
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    outcome = asyncio.run(_run(arguments.models_dir, calls=arguments.calls, per_s=arguments.per_s))
    settings = {
        "calls_per_s": arguments.per_s,
        "photo_share": PHOTO_SHARE,
        "connection_age_s": CONNECTION_AGE_S,
        "pre_stop_s": deployment.PRE_STOP_S,
        "dns_ttl_s": TTL_S,
    }
    raw_s = {"before": outcome.before.latencies_s, "during": outcome.during.latencies_s}
    publish("rollout", settings | outcome.figures(), raw_s, directory=arguments.results)
    if outcome.failed or outcome.late:
        raise SystemExit(1)


async def _run(models_dir: Path, *, calls: int, per_s: float) -> Outcome:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(MongoEngine(directory / "mongo"))
        server = stack.enter_context(redis.running(directory))
        names = Names()
        stack.enter_context(names.served())
        embedder = Component(
            "embedder.test",
            "services.embedder",
            "EMBEDDER",
            {"MODELS_DIR": models_dir, "MAX_CONNECTION_AGE_S": CONNECTION_AGE_S},
        )
        parts = deployment.components(
            names,
            embedder=embedder,
            ranker_models_dir=models_dir,
            store_url=engine.url(),
            cache_url=server.url,
        )
        mesh = stack.enter_context(deployment.deployed(directory, names, parts))
        progress("starting the mesh")
        await mesh.start()
        async with AsyncClient(names.target("gateway.test", PORT), catalog=CATALOG) as client:
            progress("indexing")
            products = await drill.fill(client, _photos(range(_PRODUCTS)))
            photos = _photos(range(_PRODUCTS, _PRODUCTS + _QUERIES))
            words = [f"{colour} {category}".lower() for colour in COLOURS for category in CATEGORIES]
            mix = callers.mixed(products, photos, words, photo_share=PHOTO_SHARE)
            return await drill.drill(mesh, client, mix, calls=calls, per_s=per_s)


def _photos(seeds: range) -> list[bytes]:
    photos = []
    for kind, colour, seed in itertools.product(CATEGORIES, COLOURS, seeds):
        file = io.BytesIO()
        draw(kind, colour, seed=seed).save(file, "JPEG")
        photos.append(file.getvalue())
    return photos


if __name__ == "__main__":
    main()
