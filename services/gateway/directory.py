"""Catalogues by id, remembered for a moment, and for as long as the store is away."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from services.gateway.store.interface import CatalogRecord, Store
from services.mesh import deadline
from services.mesh.errors import NotFound, Unavailable
from services.mesh.names import catalog_name

FRESH_S = 1.0
MAX_REMEMBERED = 1_000


async def living(store: Store, catalog: str) -> CatalogRecord:
    """A catalogue as the store has it now; raises NotFound, also for one that is being deleted."""
    record = await store.catalog(catalog)
    if record is None or record.is_deleting:
        raise NotFound(f"there is no {catalog_name(catalog)}")
    return record


class CatalogDirectory:
    """Finds the record of a catalogue without asking the store each time."""

    def __init__(self, store: Store, *, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._remembered: OrderedDict[str, tuple[CatalogRecord, float]] = OrderedDict()

    async def get(self, catalog: str) -> CatalogRecord:
        """A catalogue; raises NotFound, or Unavailable when the store is away and it was never seen."""
        remembered = self._remembered.get(catalog)
        if remembered and time.monotonic() - remembered[1] < FRESH_S:
            return remembered[0]
        try:
            record = await self._read(catalog)
        except Unavailable:
            if remembered is None:
                raise
            return remembered[0]
        if record is None or record.is_deleting:
            self.forget(catalog)
            raise NotFound(f"there is no {catalog_name(catalog)}")
        self._remembered[catalog] = record, time.monotonic()
        self._remembered.move_to_end(catalog)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return record

    def forget(self, catalog: str) -> None:
        """Ask the store again at once: this process has changed the catalogue."""
        self._remembered.pop(catalog, None)

    async def _read(self, catalog: str) -> CatalogRecord | None:
        allowed_s = deadline.remaining_s(self._timeout_s)
        try:
            async with asyncio.timeout(allowed_s):
                return await self._store.catalog(catalog)
        except TimeoutError:
            raise Unavailable(
                f"the store has not answered within {allowed_s:g} s", reason="STORE_UNAVAILABLE"
            ) from None
