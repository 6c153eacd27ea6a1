"""All services of one machine, together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from vitrine.supervisor.child import Child, Policy
from vitrine.supervisor.health import HealthProbe
from vitrine.supervisor.layout import Service
from vitrine.supervisor.sinks import Sink, event

# What services are given for calls in hand: longer than those take, sooner than anyone loses patience.
DRAIN_S = 5.0


async def supervise(
    services: Sequence[Service], sink: Sink, *, on_ready: Callable[[], None], policy: Policy | None = None
) -> None:
    """Run services until SIGTERM, SIGINT or SIGHUP, then drain them.

    `on_ready` is called once, when all can work. The last of `services` is the one that callers talk to, and
    is drained first. Raises FailedPrecondition when one cannot be started.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        children = []
        for service in services:
            probe = await stack.enter_async_context(HealthProbe(service.address, service.url))
            children.append(Child(service, _serving(probe), sink, policy))
        kept = [asyncio.create_task(child.keep()) for child in children]
        told = asyncio.create_task(_tell(children, on_ready))
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([stopped, *kept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sink.write("supervisor", event("supervisor", "draining"))
            told.cancel()
            stopped.cancel()
            children[-1].stop()
            await asyncio.wait(kept[-1:])
            for child in children:
                child.stop()
            outcomes = await asyncio.gather(*kept, return_exceptions=True)
            await asyncio.gather(told, stopped, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _serving(probe: HealthProbe) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await probe.status() == "serving"

    return ask


async def _tell(children: Sequence[Child], on_ready: Callable[[], None]) -> None:
    for child in children:
        await child.ready.wait()
    on_ready()
