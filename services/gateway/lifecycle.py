"""What becomes of catalogues and their generations: changes of their records, written through the log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from services.gateway import generations
from services.gateway.directory import CatalogDirectory, living
from services.gateway.embedding import Embedder
from services.gateway.photo_vectors import models_of
from services.gateway.shards import Shards
from services.gateway.store.interface import CatalogChange, CatalogRecord, GenerationRecord, Store
from services.gateway.store.log import ChangeLog, Stale, Write
from services.mesh import names
from services.mesh.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from vitrine.v1 import common_pb2

MAX_GENERATIONS = 3
MAX_ATTEMPTS = 5


class CatalogLifecycle:
    """Changes the records of catalogues. What takes long is left to the keeper, which `nudge` wakes."""

    def __init__(
        self,
        *,
        store: Store,
        log: ChangeLog,
        directory: CatalogDirectory,
        embedder: Embedder,
        shards: Shards,
        nudge: Callable[[], None],
        timeout_s: float,
    ) -> None:
        self._store = store
        self._log = log
        self._directory = directory
        self._embedder = embedder
        self._shards = shards
        self._nudge = nudge
        self._timeout_s = timeout_s

    async def create(self, catalog: str) -> CatalogRecord:
        """Create a catalogue whose first generation has the spaces that the embedder has now.

        Raises AlreadyExists, also while the last of one of that id is being deleted, and FailedPrecondition
        (reason WEIGHTS_MISSING).
        """
        first = generations.frozen(await self._embedder.models(timeout_s=self._timeout_s))
        record = CatalogRecord(
            catalog, first.id, (GenerationRecord(first, is_ready=True),), time.time_ns() // 1_000_000
        )
        try:
            return await self._written(record, expected=0)
        except Stale:
            there = await self._store.catalog(catalog)
            is_deleting = there is not None and there.is_deleting
            what = "is still being deleted" if is_deleting else "is there already"
            raise AlreadyExists(f"{names.catalog_name(catalog)} {what}") from None

    async def delete(self, catalog: str, *, force: bool) -> None:
        """Let a catalogue be gone for everybody, and its products be removed.

        A product that is written at the same moment may go with it. Raises NotFound, and FailedPrecondition
        (reason NOT_EMPTY) when it has products and `force` is not set.
        """

        async def deleted(record: CatalogRecord) -> CatalogRecord:
            if not force and (await self._store.counts(catalog)).products:
                raise FailedPrecondition(
                    f"{names.catalog_name(catalog)} has products: delete them, or it by force",
                    reason="NOT_EMPTY",
                )
            return replace(record, is_deleting=True)

        await self._change(catalog, deleted)

    async def create_generation(self, catalog: str) -> CatalogRecord:
        """Add a generation of the spaces that the embedder has now, to be built: the last of the record.

        Raises NotFound, and FailedPrecondition with the reasons that CreateGeneration documents.
        """
        models = await self._embedder.models(timeout_s=self._timeout_s)

        async def extended(record: CatalogRecord) -> CatalogRecord:
            newest = record.generations[-1].generation
            generation = generations.frozen(models, generation=await self._free_id(record))
            if any(not each.is_ready for each in record.generations):
                raise FailedPrecondition("a generation is being built already", reason="BUILDING")
            if _same(generation, newest):
                raise FailedPrecondition(
                    f"the embedder has the models and weights of {newest.id}", reason="SAME_GENERATION"
                )
            if len(record.generations) >= MAX_GENERATIONS:
                raise FailedPrecondition(
                    f"there are {MAX_GENERATIONS} generations: delete one", reason="TOO_MANY_GENERATIONS"
                )
            added = GenerationRecord(generation, is_ready=False)
            return replace(record, generations=(*record.generations, added))

        return await self._change(catalog, extended)

    async def activate_generation(self, catalog: str, generation: str) -> CatalogRecord:
        """Let searches use a generation.

        Raises NotFound, FailedPrecondition (reason BUILDING), Unavailable (reason SHARDS_BEHIND).
        """

        async def activated(record: CatalogRecord) -> CatalogRecord:
            if not _generation(record, generation).is_ready:
                raise FailedPrecondition(f"{generation} is still being built", reason="BUILDING")
            if not await self._shards.hold(record.revision):
                raise Unavailable(
                    f"a shard has not come to revision {record.revision}", reason="SHARDS_BEHIND"
                )
            return replace(record, active=generation)

        return await self._change(catalog, activated)

    async def delete_generation(self, catalog: str, generation: str) -> None:
        """Delete a generation and let its rows be removed.

        Raises NotFound, FailedPrecondition (reason ACTIVE).
        """

        async def reduced(record: CatalogRecord) -> CatalogRecord:
            gone = _generation(record, generation)
            if record.active == generation:
                raise FailedPrecondition(f"searches use {generation}", reason="ACTIVE")
            return replace(record, generations=tuple(each for each in record.generations if each != gone))

        await self._change(catalog, reduced)

    async def _free_id(self, record: CatalogRecord) -> str:
        """An id that no generation of a catalogue has ever had."""
        number = record.newest + 1
        # A record from before that was counted may have had more: their rows tell of them.
        while await self._store.covered(record.catalog, f"g{number}"):
            number += 1
        return f"g{number}"

    async def _change(
        self, catalog: str, changed: Callable[[CatalogRecord], Awaitable[CatalogRecord]]
    ) -> CatalogRecord:
        """Write what `changed` makes of a catalogue's record, anew for as long as others write before."""
        for _ in range(MAX_ATTEMPTS):
            before = await living(self._store, catalog)
            after = await changed(before)
            if after == before:
                return before
            try:
                return await self._written(after, expected=before.revision)
            except Stale:
                continue
        raise Unavailable("the catalogue keeps changing", reason="CONTENTION")

    async def _written(self, record: CatalogRecord, *, expected: int) -> CatalogRecord:
        revision = await self._log.write(
            Write(
                catalogs=(CatalogChange(record.catalog, record),),
                expected_catalogs={record.catalog: expected},
            )
        )
        self._directory.forget(record.catalog)
        self._nudge()
        return record.at(revision)


def _generation(record: CatalogRecord, generation: str) -> GenerationRecord:
    """One of a catalogue's generations; raises NotFound."""
    for each in record.generations:
        if each.generation.id == generation:
            return each
    raise NotFound(f"there is no {names.generation_name(record.catalog, generation)}")


def _same(one: common_pb2.Generation, other: common_pb2.Generation) -> bool:
    """Whether two generations have the same models and weights."""
    return models_of([one]).keys() == models_of([other]).keys() and list(one.profiles) == list(other.profiles)
