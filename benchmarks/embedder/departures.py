"""Whether work is done for callers who have left.

Impatient callers send pictures that are known by their colour and note when they left: at a deadline, by
cancelling, or because they were refused. The engine notes when it was given each picture.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.embedder.callers import Ask, Failed, GrpcCaller
from benchmarks.embedder.findings import Findings
from benchmarks.embedder.load import TIMEOUT_S
from benchmarks.embedder.photos import requests
from benchmarks.embedder.plan import Plan
from benchmarks.embedder.processes import HOST, embedder
from benchmarks.embedder.record import Batch, batches, picture
from benchmarks.report import progress

# Word that a caller has left takes a moment to arrive.
GRACE_S = 0.05

_PATIENCE_S = (0.02, 0.8)
_BACKOFF_S = 0.02


async def measure(models_dir: Path, folder: Path, plan: Plan) -> Findings:
    """The share of the computed pictures whose callers had left by then."""
    progress("callers who leave")
    record = folder / "record.txt"
    module = ("benchmarks.embedder.recording", str(record))
    async with (
        embedder(models_dir, folder / "recording.log", module=module) as server,
        GrpcCaller(HOST, server.port) as caller,
    ):
        left_at = await _impatience(caller.ask, plan)
        # What is in hand is done before this is answered; a caller of its own, so that it is not counted.
        await caller.ask(requests([picture(0)])[0], TIMEOUT_S)
    computed, dead = judge(batches(record), left_at)
    departed = sum(moment is not None for moment in left_at.values())
    findings = Findings()
    findings.figures["dead_work_ratio"] = round(dead / computed, 5)
    findings.figures["departures"] = {
        "callers": len(left_at),
        "departed": departed,
        "computed": computed,
        "computed_for_nobody": dead,
    }
    return findings


def judge(record: Iterable[Batch], left_at: Mapping[int, float | None]) -> tuple[int, int]:
    """Pictures computed, and those among them whose caller had left `GRACE_S` before their batch came.

    `left_at` tells when the caller of an id left, None for one who stayed; other ids are not counted.
    """
    computed = dead = 0
    for batch in record:
        for identity in batch.ids:
            if identity not in left_at:
                continue
            computed += 1
            moment = left_at[identity]
            dead += moment is not None and moment + GRACE_S <= batch.at
    return computed, dead


async def _impatience(ask: Ask, plan: Plan) -> dict[int, float | None]:
    """Callers with short patience, for a while: id of each request -> when its caller left."""
    left_at: dict[int, float | None] = {}
    end = time.monotonic() + plan.departures_s
    chance = random.Random(7)

    async def caller() -> None:
        while time.monotonic() < end:
            # Neither 0 nor a grey: blank pictures of a warm-up are nobody's.
            identity = len(left_at) + 1
            left_at[identity] = None
            request = requests([picture(identity)])[0]
            patience_s = chance.uniform(*_PATIENCE_S)
            by_deadline = chance.random() < 0.5
            try:
                if by_deadline:
                    await ask(request, patience_s)
                else:
                    await asyncio.wait_for(ask(request, TIMEOUT_S), patience_s)
            except (Failed, TimeoutError):
                left_at[identity] = time.monotonic()
                await asyncio.sleep(_BACKOFF_S)

    await asyncio.gather(*(caller() for _ in range(plan.callers)))
    return left_at
