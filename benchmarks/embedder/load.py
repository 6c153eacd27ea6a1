"""Load on a server: callers that wait for their answers, and arrivals that do not."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.embedder.callers import Ask, Failed

TIMEOUT_S = 60.0
# One answer in so many is kept, to look into later.
SAMPLE_EVERY = 8

# What a caller who was turned away waits before it tries again.
_BACKOFF_S = 0.02


@dataclass(slots=True)
class Window:
    """What came back while a number of callers each had one request under way.

    `calls` were answered in all, before the window opened too.
    """

    calls: int
    rate: float
    latencies_s: list[float]
    errors: Counter[str]
    samples: list[bytes]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one request of an open loop.

    `at_s` is the moment it was due, since the start; `late_s` how long after that it was sent; `code` is `OK`
    or that of the error; `latency_s` runs from sending it.
    """

    at_s: float
    late_s: float
    latency_s: float
    code: str


@dataclass(slots=True)
class _Answers:
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    samples: list[bytes] = field(default_factory=list)


async def closed_loop(asks: Sequence[Ask], requests: Sequence[bytes], *, window_s: float) -> Window:
    """One caller for each of `asks`, which sends its next request when it has its answer.

    The window opens once as many answers came as there are callers, and stays open until each of them could
    have had two more, however slow the server. What is under way when it closes is cancelled. Raises
    RuntimeError when answers stay away.
    """
    answers = _Answers()
    warm, enough = asyncio.Event(), asyncio.Event()
    turn = itertools.cycle(requests)

    async def caller(ask: Ask) -> None:
        while True:
            start = time.perf_counter()
            try:
                answer = await ask(next(turn), TIMEOUT_S)
            except Failed as error:
                answers.errors[error.code] += 1
                await asyncio.sleep(_BACKOFF_S)
                continue
            answers.starts.append(start)
            answers.ends.append(time.perf_counter())
            if len(answers.ends) % SAMPLE_EVERY == 0:
                answers.samples.append(answer)
            if len(answers.ends) == len(asks):
                warm.set()
            if len(answers.ends) == 3 * len(asks):
                enough.set()

    callers = [asyncio.create_task(caller(ask)) for ask in asks]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await warm.wait()
        opened = len(answers.ends)
        await asyncio.sleep(window_s)
        async with asyncio.timeout(TIMEOUT_S):
            await enough.wait()
    except TimeoutError as error:
        raise RuntimeError(f"no steady answers; errors: {dict(answers.errors)}") from error
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    ends = answers.ends[opened:]
    latencies_s = [end - start for start, end in zip(answers.starts[opened:], ends, strict=True)]
    return Window(len(answers.ends), throughput(ends), latencies_s, answers.errors, answers.samples)


def throughput(ends: Sequence[float]) -> float:
    """Answers a second, from the times at which they came: the slope of their number over time.

    Answers come a batch at a time, and the slope, other than a count over the window, does not depend on
    which part of a batch the window cuts off.
    """
    times = np.asarray(ends) - ends[0]
    return float(np.polyfit(times, np.arange(len(times)), 1)[0])


async def one_by_one(ask: Ask, requests: Sequence[bytes], count: int) -> tuple[list[float], list[bytes]]:
    """Seconds and answers of `count` calls by a single caller. Raises Failed with the first that fails."""
    latencies_s, answers = [], []
    for request in itertools.islice(itertools.cycle(requests), count):
        start = time.perf_counter()
        answers.append(await ask(request, TIMEOUT_S))
        latencies_s.append(time.perf_counter() - start)
    return latencies_s, answers


async def open_loop(
    ask: Ask, requests: Sequence[bytes], *, rate: float, seconds: float, deadline_s: float, seed: int
) -> list[Arrival]:
    """Requests that arrive at random (Poisson, `rate` a second), whether or not others were answered.

    Each is sent with a deadline of `deadline_s`.
    """
    arrivals: list[Arrival] = []
    start = time.perf_counter()

    async def send(request: bytes, at_s: float) -> None:
        sent = time.perf_counter()
        code = "OK"
        try:
            await ask(request, deadline_s)
        except Failed as error:
            code = error.code
        arrivals.append(Arrival(at_s, sent - start - at_s, time.perf_counter() - sent, code))

    async with asyncio.TaskGroup() as group:
        for at_s, request in zip(_times(rate, seconds, seed), itertools.cycle(requests), strict=False):
            wait_s = at_s - (time.perf_counter() - start)
            # What is overdue is sent at once, but answers are looked at in between.
            await asyncio.sleep(max(0.0, wait_s))
            group.create_task(send(request, at_s))
    return arrivals


def _times(rate: float, seconds: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    times: list[float] = []
    at_s = chance.expovariate(rate)
    while at_s < seconds:
        times.append(at_s)
        at_s += chance.expovariate(rate)
    return times
