"""What a search costs the gateway.

python -m benchmarks.gateway CATALOG_DIR [--quick] [--data-dir KEPT] [--results DIR]

docs/benchmarks.md tells the method.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.embedder.findings import Findings
from benchmarks.gateway import plan as plans
from benchmarks.gateway.load import Searcher, Seen, asked, zipf
from benchmarks.gateway.plan import FULL, QUICK, Plan
from benchmarks.gateway.shop import CATALOG, Shop, opened
from benchmarks.gateway.writing import prices_changing
from benchmarks.report import RESULTS, percentiles_ms, progress, publish
from services.mesh.channel import call, connect
from services.mesh.models_dir import models_dir_default


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="What a search costs the gateway.")
    parser.add_argument("catalog_dir", type=Path)
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument("--data-dir", type=Path, help="keep the mesh's data here, for the next run")
    parser.add_argument("--quick", action="store_true", help="once and short; no figure to rely on")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    with (
        _folder(arguments.data_dir) as data_dir,
        opened(arguments.catalog_dir, arguments.models_dir, data_dir) as shop,
    ):
        findings = uvloop.run(_measure(shop, plan))
    publish("gateway", findings.published, findings.raw_s, directory=arguments.results)


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def _measure(shop: Shop, plan: Plan) -> Findings:
    ids = shop.product_ids()
    findings = Findings(figures={"plan": plan.name, "products": len(ids)})
    gateway = shop.gateway()
    random.Random(7).shuffle(ids)
    fresh = itertools.cycle(ids)
    uncached = Searcher(shop.server, staleness_s=0)
    cached = Searcher(shop.server, staleness_s=plans.CACHED_STALENESS_S)
    default = Searcher(shop.server, staleness_s=2)
    async with connect(shop.server) as channel, httpx.AsyncClient(base_url=shop.url, timeout=30) as http:
        health = health_pb2_grpc.HealthStub(channel)

        async def empty(_: str) -> None:
            await call(health.Check, health_pb2.HealthCheckRequest(), timeout_s=5)  # type: ignore[attr-defined]  # The stub of another package has no types.

        progress("warming up")
        await asked(uncached.ask, itertools.islice(fresh, plan.warmup), callers=4)
        rounds: dict[str, list[float]] = {}
        raw: dict[str, list[float]] = {}

        def note(name: str, value: float) -> None:
            rounds.setdefault(name, []).append(value)

        for number in range(plan.rounds):
            progress(f"round {number + 1} of {plan.rounds}")
            note(
                "empty_rpc_cpu_ms",
                await _cpu_ms(gateway, empty, ids[: plan.queries], callers=plans.CACHED_CALLERS),
            )
            queries = list(itertools.islice(fresh, plan.queries))
            start_s = _cpu_s(gateway)
            seen = await asked(uncached.ask, queries, callers=4)
            note("uncached_cpu_ms_per_request", _per_request_ms(gateway, start_s, seen))
            _refuse(seen)
            seen = await asked(uncached.ask, itertools.islice(fresh, plan.queries), callers=1)
            _refuse(seen)
            raw.setdefault("product_query", []).extend(seen.latencies_s)
            raw.setdefault("orchestration", []).extend(seen.unexplained_s)
            note("product_query_p50_ms", statistics.median(seen.latencies_s) * 1e3)
            note("orchestration_p99_ms", percentiles_ms(seen.unexplained_s)["p99_ms"])
            for name, searcher in (("cached", cached), ("cached_2s", default)):
                seen, cpu_ms = await _zipf(shop, gateway, plan, ids, searcher, seed=number)
                _refuse(seen)
                raw.setdefault(name, []).extend(seen.latencies_s)
                note(f"{name}_cpu_ms_per_request", cpu_ms)
                note(f"{name}_hit_ratio", seen.hit_ratio)
            seen_http = await _over_http(http, list(itertools.islice(fresh, plan.http_queries)))
            raw.setdefault("http_product_query", []).extend(seen_http)
            note("http_product_query_p50_ms", statistics.median(seen_http) * 1e3)
        for name, values in rounds.items():
            findings.settle(name, values)
        findings.figures["http_over_grpc"] = round(
            statistics.median(rounds["http_product_query_p50_ms"])
            / statistics.median(rounds["product_query_p50_ms"]),
            2,
        )
        progress(f"{plan.callers} callers for {plan.callers_s:.0f} s")
        seen = await asked(
            default.ask, fresh, callers=plan.callers, ends_at_s=time.monotonic() + plan.callers_s
        )
        raw["callers"] = seen.latencies_s
        findings.figures["callers"] = percentiles_ms(seen.latencies_s) | {
            "callers": plan.callers,
            "seconds": plan.callers_s,
            "searches": len(seen.latencies_s),
            "searches_per_s": round(len(seen.latencies_s) / plan.callers_s, 1),
            "errors": len(seen.errors),
            "first_errors": seen.errors[:3],
        }
    for searcher in (uncached, cached, default):
        await searcher.close()
    findings.raw_s |= raw
    return findings


async def _zipf(
    shop: Shop, gateway: psutil.Process, plan: Plan, ids: Sequence[str], searcher: Searcher, *, seed: int
) -> tuple[Seen, float]:
    """What callers saw whose queries are few and often the same, while prices change; CPU a request."""
    keys = ids[: plan.keys]
    queries = zipf(keys, plan.cached_queries, exponent=plans.ZIPF_EXPONENT, seed=seed)
    async with prices_changing(shop.server, keys, writes_per_s=plans.WRITES_PER_S) as written_at_s:
        await asked(searcher.ask, dict.fromkeys(queries), callers=plans.CACHED_CALLERS)
        start_s = _cpu_s(gateway)
        seen = await asked(searcher.ask, queries, callers=plans.CACHED_CALLERS)
        cpu_ms = _per_request_ms(gateway, start_s, seen)
    if not written_at_s:
        raise SystemExit("no price was changed while searches ran")
    return seen, cpu_ms


async def _over_http(http: httpx.AsyncClient, product_ids: Sequence[str]) -> list[float]:
    latencies_s = []
    for product_id in product_ids:
        body = {"parts": [{"product": product_id}], "max_staleness": "0s"}
        start_s = time.perf_counter()
        answer = await http.post(f"/v1/catalogs/{CATALOG}:search", json=body)
        answer.raise_for_status()
        answer.json()
        latencies_s.append(time.perf_counter() - start_s)
    return latencies_s


async def _cpu_ms(
    gateway: psutil.Process, ask: Callable[[str], Awaitable[None]], items: Sequence[str], *, callers: int
) -> float:
    waiting = iter(items)

    async def caller() -> None:
        for item in waiting:
            await ask(item)

    start_s = _cpu_s(gateway)
    await asyncio.gather(*(caller() for _ in range(callers)))
    return (_cpu_s(gateway) - start_s) * 1e3 / len(items)


def _cpu_s(gateway: psutil.Process) -> float:
    """Processor time that the gateway has used so far, in seconds."""
    times = gateway.cpu_times()
    return float(times.user + times.system)


def _per_request_ms(gateway: psutil.Process, start_s: float, seen: Seen) -> float:
    return (_cpu_s(gateway) - start_s) * 1e3 / max(1, len(seen.latencies_s))


def _refuse(seen: Seen) -> None:
    """A figure of which some requests failed is none."""
    if seen.errors:
        raise SystemExit(f"{len(seen.errors)} searches failed, the first one with: {seen.errors[0]}")


if __name__ == "__main__":
    main()
