"""The path of a write: new photos to vectors, pictures and labels, then into the change log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from services.gateway import metrics, products
from services.gateway.batches import Batch
from services.gateway.directory import living
from services.gateway.idempotency import RequestKey
from services.gateway.near_duplicates import NearDuplicateFinder, merged
from services.gateway.photo_making import PhotoMaker
from services.gateway.photo_vectors import models_of
from services.gateway.products import Draft, Known, Plan, Vectors
from services.gateway.ranking import Ranker
from services.gateway.store.interface import MAX_ENTRY_BYTES, CatalogRecord, ProductChange, Store
from services.gateway.store.log import ChangeLog, Replay, Stale, Write
from services.mesh import names
from services.mesh.errors import FailedPrecondition, NotFound, Unavailable
from services.mesh.stages import StageClock
from vitrine.v1 import catalog_pb2, common_pb2

_log = structlog.get_logger()

# Whoever loses this many races in a row is told to come back.
MAX_ATTEMPTS = 5
# Photos are let go of once they are embedded: what was fetched at once is all that is held.
MAX_FETCHED_AT_ONCE = 32

_Response = catalog_pb2.BatchUpsertProductsResponse


class ProductWriter:
    """Writes products, in batches, and deletes them."""

    def __init__(
        self,
        *,
        store: Store,
        log: ChangeLog,
        maker: PhotoMaker,
        ranker: Ranker,
        near_duplicates: NearDuplicateFinder,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._log = log
        self._maker = maker
        self._ranker = ranker
        self._near_duplicates = near_duplicates
        self._timeout_s = timeout_s

    async def upsert(
        self,
        catalog: str,
        drafts: Iterable[Draft | catalog_pb2.UpsertResult],
        request: RequestKey | None = None,
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        """Write products of a catalogue, each with its own outcome, as BatchUpsertProducts documents.

        Among the drafts may be outcomes of those that could not be read. Raises FailedPrecondition (reason
        REQUEST_ID_REUSED) when another request had the id of this one.
        """
        if (answer := await self._answered(request)) is not None:
            return answer
        batch = Batch(drafts)
        clock = StageClock(prefix=metrics.WRITE_PREFIX)
        for _ in range(MAX_ATTEMPTS):
            record = await living(self._store, catalog)
            # A failure may be this request's own doing, by way of a retry that was quicker.
            if not batch.begin(await self._known(batch, record)) and (
                (answer := await self._answered(request)) is not None
            ):
                return answer
            await self._make_photos(batch, record, clock)
            batch.plan()
            try:
                revision = await self._commit(batch, record, request, clock)
            except Stale:
                continue
            except Replay as replay:
                assert request is not None
                return request.opened(replay.outcome, _Response)
            response = batch.response(revision)
            response.stages.extend(clock.timings)
            _count(response)
            return response
        raise Unavailable("the products keep changing while they are being written", reason="CONTENTION")

    async def delete(
        self,
        catalog: str,
        product_id: str,
        *,
        etag: str = "",
        allow_missing: bool = False,
        request: RequestKey | None = None,
    ) -> int:
        """Delete a product; a revision at which there is none.

        Raises NotFound when there is none and `allow_missing` is not set, Aborted (reason ETAG_MISMATCH) when
        it has another etag than is given, FailedPrecondition (reason REQUEST_ID_REUSED) as `upsert`.
        """
        for _ in range(MAX_ATTEMPTS):
            stored = (await self._store.products(catalog, [product_id])).get(product_id)
            # Looked for afterwards: that there is none may be this request's own doing.
            if (answer := await self._answered(request)) is not None:
                return answer.revision
            if stored is None and not allow_missing:
                raise NotFound(f"there is no {names.product_name(catalog, product_id)}")
            if stored is None and request is None:
                return await self._head()
            if stored is not None and etag:
                products.check_etag(etag, stored.message())
            gone = ProductChange(catalog, product_id, product=None, rows=None)
            write = Write(
                # With nothing to delete, the outcome alone is kept: a retry must not delete what came later.
                (gone,) if stored is not None else (),
                {gone.key: stored.revision if stored is not None else 0},
                request_key=request.key if request else "",
                outcome=_sealing(request, lambda at: _Response(revision=at)),
            )
            try:
                return await self._log.write(write)
            except (Stale, Replay):
                continue
        raise Unavailable("the product keeps changing", reason="CONTENTION")

    async def _answered(self, request: RequestKey | None) -> catalog_pb2.BatchUpsertProductsResponse | None:
        """What was answered to the same request before."""
        outcome = await self._store.outcome(request.key) if request else None
        if request is None or outcome is None:
            return None
        answer = request.opened(outcome, _Response)
        # Who wrote it may have died before it could be read.
        await self._log.reach(answer.revision)
        return answer

    async def _head(self) -> int:
        """The head of the log, once all up to it can be read: whatever was read before is not newer."""
        head = (await self._store.bounds()).head
        await self._log.reach(head)
        return head

    async def _known(self, batch: Batch, record: CatalogRecord) -> dict[str, Known]:
        stored = await self._store.products(record.catalog, list(batch.drafts), with_rows=True)
        return {product_id: Known.of(each, record) for product_id, each in stored.items()}

    async def _make_photos(self, batch: Batch, record: CatalogRecord, clock: StageClock) -> None:
        """Make vectors and pictures of new photos, each content once, in every generation's models."""
        models = models_of(each.generation for each in record.generations)
        if lacks := batch.given(models):
            batch.note_made(await self._maker.made(lacks, models, clock))
        addresses = batch.addresses()
        while addresses:
            some, addresses = addresses[:MAX_FETCHED_AT_ONCE], addresses[MAX_FETCHED_AT_ONCE:]
            found = await self._maker.fetched(some, clock)
            if lacks := batch.behind(found, models):
                batch.note_made(await self._maker.made(lacks, models, clock))
            batch.note_fetched(found)
            # There was no room for them beside the others.
            waiting = [uri for uri in some if uri not in found]
            addresses = [*waiting, *addresses]

    async def _commit(
        self, batch: Batch, record: CatalogRecord, request: RequestKey | None, clock: StageClock
    ) -> int:
        """Write what differs from what there is; the last revision."""
        changing = batch.changing
        if not changing:
            return await self._confirm(batch, record, request)
        labels = await self._labels(batch, changing, record.generation, clock)
        with clock.stage("duplicates"):
            found = await self._near_duplicates.find(record, batch.plans, batch.vectors)
        batch.near_duplicates |= found
        changes = [
            products.change_of(
                plan,
                record.catalog,
                photos=batch.photos(plan),
                labels=labels[product_id],
                near_duplicates=merged(plan.kept_duplicates, found.get(product_id, ())),
                rows=batch.rows(plan, record),
            )
            for product_id, plan in changing.items()
        ]
        with clock.stage("commit"):
            revision = await self._write(batch, record, changes, request)
        self._near_duplicates.remember(record, changing, batch.vectors)
        return revision

    async def _confirm(self, batch: Batch, record: CatalogRecord, request: RequestKey | None) -> int:
        """A revision at which all is as was asked for, kept with the outcome of a request that has an id.

        Without that, a retry would undo what others have written after the first try. Where every product
        has failed there is no outcome to keep: a retry may do better.
        """
        found = {
            (record.catalog, product_id): plan.known.revision
            for product_id, plan in batch.plans.items()
            if plan.known
        }
        if not found:
            return await self._head()
        if request is None:
            # Another gateway may have written what there is, of which this one has not heard.
            return max(self._log.head, *found.values())
        return await self._log.write(
            Write(
                expected=found,
                expected_catalogs={record.catalog: record.revision},
                request_key=request.key,
                outcome=_sealing(request, batch.response),
            )
        )

    async def _write(
        self,
        batch: Batch,
        record: CatalogRecord,
        changes: Sequence[ProductChange],
        request: RequestKey | None,
    ) -> int:
        """Write changes, in several entries where one cannot hold them; the last revision.

        The last entry carries the outcome: should we die before it, a retry finds the rest unchanged.
        """
        revision = 0
        groups = list(grouped(changes))
        for index, group in enumerate(groups):
            known = [batch.plans[change.product_id].known for change in group]
            is_last = request is not None and index == len(groups) - 1
            revision = await self._log.write(
                Write(
                    tuple(group),
                    {
                        change.key: before.revision if before else 0
                        for change, before in zip(group, known, strict=True)
                    },
                    expected_catalogs={record.catalog: record.revision},
                    request_key=request.key if request and is_last else "",
                    outcome=_sealing(request, batch.response),
                )
            )
            batch.written |= {change.product_id for change in group}
        return revision

    async def _labels(
        self,
        batch: Batch,
        plans: Mapping[str, Plan],
        generation: common_pb2.Generation,
        clock: StageClock,
    ) -> dict[str, Sequence[common_pb2.Label]]:
        """The inferred labels of each product: anew when its first photo has changed."""
        labels: dict[str, Sequence[common_pb2.Label]] = {}
        inferred: dict[str, Vectors] = {}
        for product_id, plan in plans.items():
            first = _first_digest(plan.product)
            if plan.known is not None and first == _first_digest(plan.known.product):
                labels[product_id] = plan.known.product.labels
                continue
            # A photo that stays for its address may be one that the generation's models have refused.
            vectors = batch.vectors.get(first, {})
            found = [vectors[key] for key in models_of([generation]) if key in vectors]
            if found:
                inferred[product_id] = found
            else:
                labels[product_id] = ()
        if inferred:
            with clock.stage("classify"):
                classified = await self._classify(list(inferred.values()))
            labels |= dict(zip(inferred, classified, strict=True))
        return labels

    async def _classify(self, photos: Sequence[Vectors]) -> Sequence[Sequence[common_pb2.Label]]:
        try:
            return await self._ranker.classify(photos, timeout_s=self._timeout_s)
        except FailedPrecondition as error:
            if error.reason != "SEMANTICS_MISSING":
                raise
            _log.info("no labels are inferred", error=error.message)
            return [()] * len(photos)


def grouped(changes: Sequence[ProductChange]) -> Iterable[list[ProductChange]]:
    """Changes in groups that an entry of the log can hold."""
    group: list[ProductChange] = []
    size_bytes = 0
    for change in changes:
        size_bytes += change.size_bytes
        if group and size_bytes > MAX_ENTRY_BYTES:
            yield group
            group, size_bytes = [], change.size_bytes
        group.append(change)
    if group:
        yield group


def _sealing(
    request: RequestKey | None, answer: Callable[[int], catalog_pb2.BatchUpsertProductsResponse]
) -> Callable[[int], bytes]:
    """Makes the outcome that is kept of a request, from the write's revision."""
    return lambda revision: request.sealed(answer(revision)) if request else b""


def _first_digest(product: catalog_pb2.Product) -> str:
    """The photo that a product's labels are inferred from."""
    return product.photos[0].digest if product.photos else ""


def _count(response: catalog_pb2.BatchUpsertProductsResponse) -> None:
    for result in response.results:
        outcome = "failed" if result.status.code else "unchanged" if result.unchanged else "written"
        metrics.UPSERTS.labels(outcome).inc()
        if result.near_duplicates:
            metrics.NEAR_DUPLICATES.inc()
