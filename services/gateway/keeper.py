"""What is done in the background of catalogues, by one gateway at a time.

Products of deleted catalogues and rows of deleted generations are removed, and new generations are built.
Every step leaves the catalogue in order, so that another gateway can go on from it. The lease keeps two
gateways from doing the same work; should both think that they have it, what they write and remove has
preconditions, and the slower one finds its work done.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from services.gateway.generation_building import GenerationBuilder
from services.gateway.store.interface import (
    MAX_ENTRY_CHANGES,
    CatalogChange,
    CatalogRecord,
    GenerationRecord,
    ProductChange,
    Store,
)
from services.gateway.store.log import ChangeLog, Stale, Write
from services.mesh.background import beside
from services.mesh.errors import VitrineError

_log = structlog.get_logger()

LEASE = "keeper"
LEASE_S = 15.0
RENEW_S = 5.0
PERIOD_S = 1.0
PAGE_CATALOGS = 100
MAX_PURGED_AT_ONCE = 1_000


@dataclass(slots=True)
class _Pass:
    """A pass over the products that a generation lacks: how far it is, and how many it has written."""

    after: str = ""
    written: int = 0


class Keeper:
    """Does what is to be done for as long as it has the lease."""

    def __init__(self, *, store: Store, log: ChangeLog, builder: GenerationBuilder) -> None:
        self._store = store
        self._log = log
        self._builder = builder
        self._holder = secrets.token_hex(8)
        self._leased_at_s = -math.inf
        self._failure = ""
        self._nudged = asyncio.Event()
        self._problems: dict[tuple[str, str], str] = {}
        self._passes: dict[tuple[str, str], _Pass] = {}
        # The revisions of the catalogues' records for which nothing is left to purge.
        self._purged: dict[str, int] = {}

    @property
    def problems(self) -> Mapping[tuple[str, str], str]:
        """Why building does not go on, by catalogue and generation, as far as this process has tried."""
        return self._problems

    def nudge(self) -> None:
        """Look for work at once."""
        self._nudged.set()

    @asynccontextmanager
    async def running(self, on_failure: Callable[[], None]) -> AsyncIterator[None]:
        """Work meanwhile. Should that fail, `on_failure` is called, and leaving raises the cause."""
        async with beside(self._run, on_failure=on_failure):
            yield

    async def _run(self) -> None:
        try:
            while True:
                self._nudged.clear()
                if not await self._round():
                    # `asyncio.wait_for` may swallow a cancellation before Python 3.12 (python/cpython#86296).
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PERIOD_S):
                            await self._nudged.wait()
        finally:
            # Whoever comes next need not wait for the lease to end.
            with suppress(VitrineError):
                await self._store.lease(LEASE, self._holder, 0)

    async def _round(self) -> bool:
        """One step of all there is to do; whether there is more."""
        try:
            if not await self._has_lease():
                self._forget(())
                return False
            deleting = [record async for record in self._catalogs(deleting=True)]
            living = [record async for record in self._catalogs(deleting=False)]
        except VitrineError as error:
            self._note_failure(error)
            return False
        self._forget(living)
        steps = [
            *(partial(self._remove, record) for record in deleting),
            *(
                partial(self._purge, record)
                for record in living
                if self._purged.get(record.catalog) != record.revision
            ),
            *(
                partial(self._build, record, each)
                for record in living
                for each in record.generations
                if not each.is_ready
            ),
        ]
        return any([await self._is_more(step) for step in steps])

    async def _is_more(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """Do a step; whether it asks for another one."""
        try:
            is_more = await self._has_lease() and await step()
        except Stale:
            return True
        except VitrineError as error:
            self._note_failure(error)
            return False
        self._failure = ""
        return is_more

    async def _has_lease(self) -> bool:
        """Take the lease, or prolong it in good time."""
        now_s = time.monotonic()
        if now_s - self._leased_at_s >= RENEW_S:
            self._leased_at_s = -math.inf
            if not await self._store.lease(LEASE, self._holder, LEASE_S):
                return False
            self._leased_at_s = now_s
        return True

    async def _catalogs(self, *, deleting: bool) -> AsyncIterator[CatalogRecord]:
        after = ""
        while page := await self._store.catalogs(after, PAGE_CATALOGS, deleting=deleting):
            for record in page:
                yield record
            after = page[-1].catalog

    async def _remove(self, record: CatalogRecord) -> bool:
        """Remove some of what is left of a deleted catalogue, in the end its record."""
        catalog = record.catalog
        stored = await self._store.list_products(catalog, "", MAX_ENTRY_CHANGES)
        if stored:
            await self._log.write(
                Write(
                    tuple(
                        ProductChange(catalog, each.product_id, product=None, rows=None) for each in stored
                    ),
                    {(catalog, each.product_id): each.revision for each in stored},
                )
            )
        elif not await self._store.purge(catalog, (), MAX_PURGED_AT_ONCE, at=record.revision):
            gone = CatalogChange(catalog, None)
            await self._log.write(Write(catalogs=(gone,), expected_catalogs={catalog: record.revision}))
            _log.info("catalogue removed", catalog=catalog)
        return True

    async def _purge(self, record: CatalogRecord) -> bool:
        """Remove some rows of generations that a catalogue does not have any more."""
        keep = [each.generation.id for each in record.generations]
        if await self._store.purge(record.catalog, keep, MAX_PURGED_AT_ONCE, at=record.revision):
            return True
        self._purged[record.catalog] = record.revision
        return False

    async def _build(self, record: CatalogRecord, building: GenerationRecord) -> bool:
        """Embed some products for a generation, in the end let it be ready."""
        generation = building.generation
        key = record.catalog, generation.id
        its = self._passes.setdefault(key, _Pass())
        try:
            page = await self._builder.build_page(record, generation, its.after)
        except VitrineError as error:
            self._note_problem(key, f"{error.reason}: {error.message}")
            return False
        if page is not None:
            its.after, its.written = page.last, its.written + page.written
            self._note_problem(key, page.problem)
            return True
        if its.after:
            # Those that were passed over have another turn, but not at once when all were.
            del self._passes[key]
            return its.written > 0
        ready = GenerationRecord(generation, is_ready=True)
        changed = replace(
            record, generations=tuple(ready if each == building else each for each in record.generations)
        )
        await self._log.write(
            Write(
                catalogs=(CatalogChange(record.catalog, changed),),
                expected_catalogs={record.catalog: record.revision},
            )
        )
        _log.info("generation ready", catalog=record.catalog, generation=generation.id)
        return True

    def _note_failure(self, error: VitrineError) -> None:
        # Once an outage, not once a try.
        if error.reason != self._failure:
            _log.warning("the keeper cannot go on for now", error=error.message, reason=error.reason)
        self._failure = error.reason

    def _note_problem(self, key: tuple[str, str], problem: str) -> None:
        if self._problems.get(key, "") == problem:
            return
        if problem:
            self._problems[key] = problem
            _log.warning("a generation is not built for now", catalog=key[0], generation=key[1], why=problem)
        else:
            del self._problems[key]

    def _forget(self, living: Collection[CatalogRecord]) -> None:
        """Let go of what was noted of catalogues and generations that are not there any more, or ready."""
        building = {
            (record.catalog, each.generation.id)
            for record in living
            for each in record.generations
            if not each.is_ready
        }
        for key in self._problems.keys() - building:
            del self._problems[key]
        for key in self._passes.keys() - building:
            del self._passes[key]
        for catalog in self._purged.keys() - {record.catalog for record in living}:
            del self._purged[catalog]
