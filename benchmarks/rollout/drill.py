"""The drill: callers search while every pod is replaced and one is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.report import percentiles_ms, progress
from benchmarks.rollout.callers import Callers, Calls, Draw
from benchmarks.rollout.deployment import Deployment
from services.mesh.errors import VitrineError
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.products import Photo, Product

_POLL_S = 0.2
_SETTLE_S = 300.0


@dataclass
class Outcome:
    """How the calls went before and during the rollout, and how often every pod was replaced."""

    before: Calls = field(default_factory=Calls)
    during: Calls = field(default_factory=Calls)
    rounds: int = 0

    @property
    def failed(self) -> int:
        """Calls that ended with an error."""
        return self.before.failed + self.during.failed

    @property
    def late(self) -> int:
        """Calls that took longer than their deadline."""
        return self.before.late + self.during.late

    def figures(self) -> dict[str, object]:
        """What a report tells of it."""
        return {
            "rounds": self.rounds,
            "failed_calls": self.failed,
            "late_calls": self.late,
            "before": _figures(self.before),
            "during": _figures(self.during),
        }


async def fill(client: AsyncClient, photos: Sequence[bytes]) -> list[str]:
    """Create the client's catalogue with a product for each photo, all of which are found: their ids."""
    await client.create_catalog()
    products = [Product(f"p{number}", photos=[Photo(photo)]) for number, photo in enumerate(photos)]
    report = await client.upsert(products)
    if any(each.error for each in report.outcomes):
        raise RuntimeError(f"not all products were written: {report.outcomes}")
    async with asyncio.timeout(_SETTLE_S):
        for product in products:
            while not await _is_found(client, product.id):  # noqa: ASYNC110 - others know when it is there
                await asyncio.sleep(_POLL_S)
    return [product.id for product in products]


async def drill(
    deployment: Deployment,
    client: AsyncClient,
    draw: Draw,
    *,
    calls: int,
    per_s: float,
    at_once: bool = False,
) -> Outcome:
    """Call `calls` times or more while all pods are replaced, round by round; before it a quarter of that.

    See `Deployment.replace_all` for `at_once`.
    """
    outcome = Outcome()
    callers = Callers(client, draw, per_s=per_s)
    progress("before the rollout")
    await callers.call(outcome.before, lambda: outcome.before.count >= calls // 4)
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(callers.call(outcome.during, done.is_set))
        while outcome.during.count < calls:
            await deployment.replace_all(at_once=at_once)
            outcome.rounds += 1
            progress(f"{outcome.during.count} calls, {outcome.during.failed} failed")
        done.set()
    return outcome


async def _is_found(client: AsyncClient, product_id: str) -> bool:
    try:
        found = await client.search(product=product_id, max_staleness_s=0)
    except VitrineError:
        return False
    return not found.degraded


def _figures(calls: Calls) -> dict[str, object]:
    return {
        "calls": calls.count,
        **percentiles_ms(calls.latencies_s),
        "max_ms": round(max(calls.latencies_s) * 1e3, 1),
        "failures": dict(calls.failures),
        "degraded_answers": calls.degraded,
        "degraded_reasons": dict(calls.reasons),
        "cache": dict(calls.caches),
    }
