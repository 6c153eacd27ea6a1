"""Which products have changed of late, so that what is remembered of all others need not be read again."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from services.gateway.store.interface import ProductKey, Store
from services.gateway.store.log import ChangeLog
from services.mesh.background import beside
from services.mesh.errors import OutOfRange, Unavailable

_log = structlog.get_logger()

MAX_CHANGES = 65_536
# Nobody looks at the log for those who no longer ask.
IDLE_AFTER_S = 5.0


class RecentChanges:
    """Follows the change log, whoever writes it, while anybody asks.

    Everything up to `revision` has been noticed. `poll_s` is how often the log is looked at for what other
    gateways write; what this one writes is noticed at once.
    """

    def __init__(
        self, store: Store, log: ChangeLog, *, poll_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._log = log
        self._poll_s = poll_s
        self._clock = clock
        self._changed: OrderedDict[ProductKey, int] = OrderedDict()
        self._floor = 0
        self._looked_at_s = -math.inf
        self._asked_at_s = -math.inf
        self._asked = asyncio.Event()
        self.revision = 0

    @asynccontextmanager
    async def running(self, on_failure: Callable[[], None]) -> AsyncIterator[None]:
        """Follow meanwhile. Should that fail, `on_failure` is called, and leaving raises the cause."""
        self.revision = self._floor = self._log.head
        async with beside(self._follow, on_failure=on_failure):
            yield

    def is_fresh(self, min_revision: int) -> bool:
        """Whether all up to `min_revision`, and all of a moment ago, has been noticed."""
        now_s = self._clock()
        self._asked_at_s = now_s
        self._asked.set()
        # A store that takes its time to answer is no reason to ask it more.
        return now_s - self._looked_at_s <= 10 * self._poll_s and self.revision >= min_revision

    def is_unchanged(self, key: ProductKey, since: int) -> bool:
        """Whether a product is as it was at the revision `since`, as far as has been noticed."""
        return since >= self._floor and self._changed.get(key, 0) <= since

    async def _follow(self) -> None:
        while True:
            await self._asked.wait()
            began_at_s = self._clock()
            try:
                head = await self._log.wait_past(self.revision, self._poll_s)
                if head > self.revision:
                    await self._notice(head)
            except Unavailable as error:
                _log.warning("changes cannot be followed", error=error.message)
                await asyncio.sleep(self._poll_s)
                continue
            self._looked_at_s = began_at_s
            if self._clock() - self._asked_at_s > IDLE_AFTER_S:
                self._asked.clear()

    async def _notice(self, head: int) -> None:
        try:
            changed = await self._store.changed(self.revision, head, MAX_CHANGES)
        except OutOfRange:
            self._changed.clear()
            self._floor = head
        else:
            for key, revision in changed.items():
                self._changed[key] = revision
                self._changed.move_to_end(key)
            while len(self._changed) > MAX_CHANGES:
                _, forgotten = self._changed.popitem(last=False)
                self._floor = max(self._floor, forgotten)
        self.revision = head
