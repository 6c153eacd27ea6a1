"""What metrics and traces cost a search: processor time of all services, with and without.

python -m benchmarks.observability [CATALOG_DIR] [--quick] [--rounds N] [--rate R] [--results DIR]

Three meshes on the same data: one that nobody observes, one whose metrics are scraped every 15 s, and one
that also records 1% of its searches. In each round all are started anew and take many short turns at the
same load, each time in another order: searches by product and by new words in turn, at a constant rate,
without the cache. The figure is the user and system time of all services a search, over the whole round but
for what they use idle while others have their turns, and how much more that is than where nobody observes,
with the 95% interval of a paired bootstrap over rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.observability import load
from benchmarks.observability.interval import ratio_of_sums
from benchmarks.observability.plan import (
    ARMS,
    FULL,
    IDLE_S,
    OBSERVED,
    OFF,
    QUICK,
    SAMPLE_RATIO,
    SCRAPE_PERIOD_S,
    SCRAPED,
    SETTLE_S,
    Arm,
    Plan,
)
from benchmarks.observability.processes import CATALOG, Mesh, copied, index, running
from benchmarks.observability.surroundings import Collector, collecting, scrape
from benchmarks.report import RESULTS, percentiles_ms, progress, publish
from services.mesh.channel import connect
from services.mesh.models_dir import models_dir_default
from vitrine import Client
from vitrine.catalogs import demo
from vitrine.v1 import search_pb2, search_pb2_grpc

GOAL_PERCENT = 2.0
RATE = 30.0
_TOTAL = "all"


@dataclass
class Taken:
    """What an arm took: milliseconds a search in each round, by service, and the latencies in seconds."""

    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    latencies_s: list[float] = field(default_factory=list)


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="What metrics and traces cost a search.")
    parser.add_argument("catalog_dir", type=Path, nargs="?", help="the demo catalogue if absent")
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument("--quick", action="store_true", help="twice and short; no figure to rely on")
    parser.add_argument("--rounds", type=int, help="instead of the plan's")
    parser.add_argument("--rate", type=float, default=RATE, help="searches a second, below saturation")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or plan.rounds
    with tempfile.TemporaryDirectory() as folder:
        catalog_dir = arguments.catalog_dir or demo.fetch(Path(folder) / "demo")
        figures, taken = uvloop.run(
            _measure(catalog_dir, arguments.models_dir, Path(folder), plan, rounds, arguments.rate)
        )
    publish(
        "observability",
        figures,
        {arm.name: taken[arm].latencies_s for arm in ARMS},
        directory=arguments.results,
    )


async def _measure(
    catalog_dir: Path, models_dir: Path, folder: Path, plan: Plan, rounds: int, rate: float
) -> tuple[dict[str, object], dict[Arm, Taken]]:
    taken = {arm: Taken() for arm in ARMS}
    async with collecting() as (endpoint, collector):
        data_dir = folder / "data"
        data_dir.mkdir()
        progress("indexing")
        with running(OFF, 0, data_dir=data_dir, models_dir=models_dir, endpoint=endpoint) as mesh:
            await mesh.ready()
            await asyncio.to_thread(index, catalog_dir, mesh.layout.gateway)
            product_ids = await asyncio.to_thread(_product_ids, mesh.layout.gateway)
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            # Whoever is started first is another one each time.
            arms = ARMS[number % len(ARMS) :] + ARMS[: number % len(ARMS)]
            with contextlib.ExitStack() as stack:
                meshes = [
                    stack.enter_context(
                        running(
                            arm,
                            place,
                            data_dir=copied(data_dir, folder / arm.name),
                            models_dir=models_dir,
                            endpoint=endpoint,
                        )
                    )
                    for place, arm in enumerate(arms)
                ]
                asked = load.parts(product_ids, seed=number)
                await _round(meshes, plan, rate, asked, taken, random.Random(number))
    return _figures(plan, rounds, rate, len(product_ids), taken, collector), taken


async def _round(
    meshes: Sequence[Mesh],
    plan: Plan,
    rate: float,
    asked: Iterator[search_pb2.QueryPart],
    taken: dict[Arm, Taken],
    order: random.Random,
) -> None:
    searches: dict[Arm, int] = defaultdict(int)
    async with contextlib.AsyncExitStack() as stack:
        stubs = {}
        for mesh in meshes:
            await mesh.ready()
            channel = await stack.enter_async_context(connect(mesh.layout.gateway))
            stubs[mesh.arm] = search_pb2_grpc.SearchServiceStub(channel)
        for stub in stubs.values():
            await load.searched(stub, asked, rate=rate, duration_s=plan.warmup_s)
        await asyncio.sleep(SETTLE_S)
        idle_from = {mesh.arm: mesh.usage() for mesh in meshes}
        await asyncio.sleep(IDLE_S)
        before = {mesh.arm: mesh.usage() for mesh in meshes}
        for turn in range(plan.turns):
            for mesh in order.sample(meshes, len(meshes)):
                async with asyncio.TaskGroup() as group:
                    if mesh.arm.is_scraped and plan.is_scraped_in(turn):
                        group.create_task(scrape(mesh.layout))
                    searching = group.create_task(
                        load.searched(stubs[mesh.arm], asked, rate=rate, duration_s=plan.turn_s)
                    )
                latencies_s = searching.result()
                searches[mesh.arm] += len(latencies_s)
                taken[mesh.arm].latencies_s += latencies_s
        await asyncio.sleep(SETTLE_S)
        after = {mesh.arm: mesh.usage() for mesh in meshes}
    for arm, start in before.items():
        idle = start.since(idle_from[arm])
        used = after[arm].since(start)
        # What is used in the turns of others is not the searches' doing.
        others_s = used.wall_s - plan.turns * plan.turn_s
        own_s = {name: spent_s - idle.per_s(name) * others_s for name, spent_s in used.cpu_s.items()}
        for name, seconds in (*own_s.items(), (_TOTAL, sum(own_s.values()))):
            taken[arm].cpu_ms[name].append(seconds * 1e3 / searches[arm])


def _figures(
    plan: Plan, rounds: int, rate: float, products: int, taken: dict[Arm, Taken], collector: Collector
) -> dict[str, object]:
    services = list(taken[OFF].cpu_ms)
    cost = {
        arm.name: {
            name: ratio_of_sums(taken[arm].cpu_ms[name], taken[OFF].cpu_ms[name]).percent_more()
            for name in services
        }
        for arm in (SCRAPED, OBSERVED)
    }
    return {
        "plan": plan.name,
        "rounds": rounds,
        "searches_per_s": rate,
        "scrape_period_s": SCRAPE_PERIOD_S,
        "sample_ratio": SAMPLE_RATIO,
        "products": products,
        "cpu_ms_per_search": {
            arm.name: {name: round(statistics.mean(taken[arm].cpu_ms[name]), 3) for name in services}
            for arm in ARMS
        },
        "cost_percent": cost,
        "goal_percent": GOAL_PERCENT,
        "is_met": cost[OBSERVED.name][_TOTAL]["high"] <= GOAL_PERCENT,
        "latency": {arm.name: percentiles_ms(taken[arm].latencies_s) for arm in ARMS},
        "traces": len(collector.traces),
        "spans": collector.spans,
        "cpu_ms_by_round": {arm.name: [round(each, 3) for each in taken[arm].cpu_ms[_TOTAL]] for arm in ARMS},
    }


def _product_ids(server: str) -> list[str]:
    with Client(server, catalog=CATALOG) as client:
        return [product.id for product in client.list()]


if __name__ == "__main__":
    main()
