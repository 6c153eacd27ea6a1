"""The path of a write: new photos to vectors, pictures and labels, then into the change log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from services.gateway import metrics, products
from services.gateway.embedding import Embedder, image_field
from services.gateway.media import MediaStore, Picture
from services.gateway.products import Draft, GivenPhoto, Known, Vectors
from services.gateway.ranking import Ranker
from services.gateway.store.interface import MAX_ENTRY_BYTES, CatalogRecord, ProductChange, Store
from services.gateway.store.log import ChangeLog, Replay, Stale, Write
from services.mesh import names, status
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable, VitrineError
from services.mesh.stages import StageClock
from vitrine.v1 import catalog_pb2, common_pb2, embedder_pb2

_log = structlog.get_logger()

# Whoever loses this many races in a row is told to come back.
MAX_ATTEMPTS = 5
MAX_PICTURES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """What was made of a photo that the catalogue did not have."""

    vectors: Vectors
    picture: Picture


class ProductWriter:
    """Writes batches of products."""

    def __init__(
        self,
        *,
        store: Store,
        log: ChangeLog,
        embedder: Embedder,
        ranker: Ranker,
        media: MediaStore,
        max_image_bytes: int,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._log = log
        self._embedder = embedder
        self._ranker = ranker
        self._media = media
        self._max_image_bytes = max_image_bytes
        self._timeout_s = timeout_s

    async def upsert(
        self, record: CatalogRecord, items: Sequence[catalog_pb2.UpsertProduct], request_key: str
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        """Write products of a catalogue, each with its own outcome, as BatchUpsertProducts documents."""
        if request_key and (outcome := await self._store.outcome(request_key)) is not None:
            return catalog_pb2.BatchUpsertProductsResponse.FromString(outcome)
        batch = await asyncio.to_thread(_Batch, record, items, self._max_image_bytes)
        clock = StageClock()
        for _ in range(MAX_ATTEMPTS):
            known = await self._known(record, batch)
            await self._embed(batch, known, clock)
            changes = await self._changes(batch, known, clock)
            try:
                with clock.stage("commit"):
                    revision = await self._commit(batch, known, changes, request_key)
            except Stale:
                continue
            except Replay as replay:
                return catalog_pb2.BatchUpsertProductsResponse.FromString(replay.outcome)
            response = batch.response(revision)
            response.stages.extend(clock.timings)
            _count(response)
            return response
        raise Unavailable("the products keep changing while they are being written", reason="CONTENTION")

    async def delete(self, catalog: str, product_id: str) -> int | None:
        """Delete a product; the write's revision, or None when there is none."""
        for _ in range(MAX_ATTEMPTS):
            key = (catalog, product_id)
            revision = (await self._store.revisions([key])).get(key)
            if revision is None:
                return None
            change = ProductChange(catalog, product_id, product=None, rows=None)
            try:
                return await self._log.write(Write((change,), {key: revision}))
            except Stale:
                continue
        raise Unavailable("the product keeps changing", reason="CONTENTION")

    async def _known(self, record: CatalogRecord, batch: _Batch) -> dict[str, Known]:
        stored = await self._store.products(record.catalog, list(batch.drafts), with_rows=True)
        return {product_id: Known.of(each) for product_id, each in stored.items()}

    async def _embed(self, batch: _Batch, known: dict[str, Known], clock: StageClock) -> None:
        """Make vectors and pictures of new photos, each content once; leave out those that are none."""
        wanted: dict[str, GivenPhoto] = {}
        for draft in batch.drafts.values():
            before = known.get(draft.product_id)
            for photo in draft.given or ():
                if photo.digest not in batch.new and not (before and photo.digest in before.vectors):
                    wanted.setdefault(photo.digest, photo)
        if not wanted:
            return
        photos = list(wanted.values())
        with clock.stage("embed"):
            embeddings = await self._embedder.images(
                [common_pb2.Image(content=photo.content) for photo in photos],
                batch.record.generation.spaces,
                priority=embedder_pb2.PRIORITY_BULK,
                timeout_s=self._timeout_s,
            )
        refused: dict[str, VitrineError] = {}
        good: list[tuple[GivenPhoto, Vectors]] = []
        for photo, embedding in zip(photos, embeddings, strict=True):
            if embedding.status.code:
                refused[photo.digest] = _photo_error(status.from_item(embedding.status))
            else:
                good.append((photo, list(embedding.vectors)))
        with clock.stage("media"):
            refused |= await self._keep_pictures(batch, good)
        batch.refuse_photos(refused)

    async def _keep_pictures(
        self, batch: _Batch, photos: Sequence[tuple[GivenPhoto, Vectors]]
    ) -> dict[str, VitrineError]:
        """Store the pictures of photos; errors by digest of those that cannot be."""
        at_once = asyncio.Semaphore(MAX_PICTURES_AT_ONCE)

        async def keep(photo: GivenPhoto, vectors: Vectors) -> tuple[str, VitrineError] | None:
            async with at_once:
                try:
                    picture = await self._media.put(photo.content, photo.digest)
                except InvalidArgument as error:
                    return photo.digest, _photo_error(error)
            batch.new[photo.digest] = NewPhoto(vectors, picture)
            return None

        outcomes = await asyncio.gather(*(keep(photo, vectors) for photo, vectors in photos))
        return dict(outcome for outcome in outcomes if outcome is not None)

    async def _changes(
        self, batch: _Batch, known: dict[str, Known], clock: StageClock
    ) -> list[ProductChange]:
        """What differs from what there is."""
        batch.unchanged = {
            product_id
            for product_id, draft in batch.drafts.items()
            if product_id not in batch.written and products.is_unchanged(draft, known.get(product_id))
        }
        changing = {
            product_id: draft
            for product_id, draft in batch.drafts.items()
            if not products.is_unchanged(draft, known.get(product_id))
        }
        rows = {
            product_id: batch.rows(draft, known.get(product_id)) for product_id, draft in changing.items()
        }
        labels = await self._labels(known, rows, clock)
        return [
            products.change_of(
                draft,
                batch.record.catalog,
                batch.photos(draft, known.get(product_id)),
                labels[product_id],
                rows[product_id],
            )
            for product_id, draft in changing.items()
        ]

    async def _labels(
        self,
        known: dict[str, Known],
        rows: dict[str, catalog_pb2.ProductRows | None],
        clock: StageClock,
    ) -> dict[str, Sequence[common_pb2.Label]]:
        """The inferred labels of each product: anew when its first photo has changed."""
        labels: dict[str, Sequence[common_pb2.Label]] = {}
        inferred: dict[str, Vectors] = {}
        for product_id, each in rows.items():
            before = known.get(product_id)
            vectors = _first_photo(each)
            if each is None or (before and vectors and vectors == _first_known_photo(before)):
                labels[product_id] = before.product.labels if before else ()
            elif not vectors:
                labels[product_id] = ()
            else:
                inferred[product_id] = vectors
        if inferred:
            with clock.stage("classify"):
                found = await self._classify(list(inferred.values()))
            labels |= dict(zip(inferred, found, strict=True))
        return labels

    async def _classify(self, photos: Sequence[Vectors]) -> Sequence[Sequence[common_pb2.Label]]:
        try:
            return await self._ranker.classify(photos, timeout_s=self._timeout_s)
        except FailedPrecondition as error:
            if error.reason != "SEMANTICS_MISSING":
                raise
            _log.info("no labels are inferred", error=error.message)
            return [()] * len(photos)

    async def _commit(
        self, batch: _Batch, known: dict[str, Known], changes: Sequence[ProductChange], request_key: str
    ) -> int:
        """Write changes, in several entries where one cannot hold them; the last revision.

        The last entry carries the outcome: should we die before it, a retry finds the rest unchanged.
        """
        revision = self._log.head
        groups = list(_groups(changes))
        for index, group in enumerate(groups):
            expected = {
                change.key: known[change.product_id].revision if change.product_id in known else 0
                for change in group
            }
            is_last = index == len(groups) - 1
            revision = await self._log.write(
                Write(
                    tuple(group),
                    expected,
                    request_key if is_last else "",
                    lambda at: batch.response(at).SerializeToString(),
                )
            )
            batch.written |= {change.product_id for change in group}
        return revision


class _Batch:
    """The products of one request, and what has been made of their photos so far."""

    def __init__(
        self, record: CatalogRecord, items: Sequence[catalog_pb2.UpsertProduct], max_image_bytes: int
    ) -> None:
        self.record = record
        self.new: dict[str, NewPhoto] = {}
        self.unchanged: set[str] = set()
        # By an earlier attempt, of which a later entry lost a race.
        self.written: set[str] = set()
        self.drafts: dict[str, Draft] = {}
        self._results: list[Draft | catalog_pb2.UpsertResult] = []
        for item in items:
            try:
                draft = products.read(item, record.catalog, max_image_bytes=max_image_bytes)
                draft.check_photos()
                self._check_new(draft)
            except InvalidArgument as error:
                self._results.append(_failed(item.product.name, error))
            else:
                self.drafts[draft.product_id] = draft
                self._results.append(draft)

    def _check_new(self, draft: Draft) -> None:
        if draft.product_id in self.drafts:
            raise InvalidArgument("name", "is in the batch twice")

    def refuse_photos(self, errors: dict[str, VitrineError]) -> None:
        """Leave out photos by digest, and products that have lost all of theirs."""
        for draft in list(self.drafts.values()):
            for photo in draft.given or ():
                if photo.digest in errors:
                    draft.refuse_photo(photo.index, errors[photo.digest])
            try:
                draft.check_photos()
            except InvalidArgument as error:
                del self.drafts[draft.product_id]
                failed = _failed(draft.product.name, error)
                failed.photo_problems.extend(draft.problems)
                self._results[self._results.index(draft)] = failed

    def photos(self, draft: Draft, known: Known | None) -> list[catalog_pb2.Photo]:
        """The product's photos as they are kept."""
        if draft.given is None:
            return list(known.product.photos) if known else []
        before = known.photos if known else {}
        return [self._photo(photo, before.get(photo.digest)) for photo in draft.given]

    def rows(self, draft: Draft, known: Known | None) -> catalog_pb2.ProductRows | None:
        """The product's vectors, or None when its photos stay as they are."""
        if products.keeps_photos(draft, known):
            return None
        rows = catalog_pb2.ProductRows(generation=self.record.generation.id)
        for photo in draft.given or ():
            new = self.new.get(photo.digest)
            rows.photos.add(
                photo_id=photo.id,
                vectors=new.vectors if new else known.vectors[photo.digest] if known else (),
            )
        return rows

    def response(self, revision: int) -> catalog_pb2.BatchUpsertProductsResponse:
        """The outcome of each product."""
        return catalog_pb2.BatchUpsertProductsResponse(
            results=[
                each
                if isinstance(each, catalog_pb2.UpsertResult)
                else catalog_pb2.UpsertResult(
                    product=each.product.name,
                    photo_problems=each.problems,
                    unchanged=each.product_id in self.unchanged,
                )
                for each in self._results
            ],
            revision=revision,
        )

    def _photo(self, photo: GivenPhoto, before: catalog_pb2.Photo | None) -> catalog_pb2.Photo:
        kept = catalog_pb2.Photo(id=photo.id, digest=photo.digest)
        new = self.new.get(photo.digest)
        if new is not None:
            kept.media_path, kept.width, kept.height = (
                new.picture.media_path,
                new.picture.width,
                new.picture.height,
            )
        elif before is not None:
            kept.media_path, kept.width, kept.height = before.media_path, before.width, before.height
        return kept


def _groups(changes: Sequence[ProductChange]) -> Iterable[list[ProductChange]]:
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


def _failed(name: str, error: InvalidArgument) -> catalog_pb2.UpsertResult:
    return catalog_pb2.UpsertResult(product=name, status=status.to_item(error))


def _photo_error(error: VitrineError) -> VitrineError:
    """An error of a picture as seen from its photo."""
    if isinstance(error, InvalidArgument):
        field = image_field(error, common_pb2.Image())
        return InvalidArgument(f"image.{field}", error.message, reason=error.reason)
    return error


def _first_photo(rows: catalog_pb2.ProductRows | None) -> Vectors:
    """The vectors that a product's labels are inferred from: those of its first photo."""
    return list(rows.photos[0].vectors) if rows is not None and rows.photos else []


def _first_known_photo(known: Known) -> Vectors:
    first = known.product.photos[0].digest if known.product.photos else ""
    return known.vectors.get(first, [])


def _count(response: catalog_pb2.BatchUpsertProductsResponse) -> None:
    for result in response.results:
        outcome = "failed" if result.status.code else "unchanged" if result.unchanged else "written"
        metrics.UPSERTS.labels(outcome).inc()


def request_key(catalog: str, request_id: str) -> str:
    """What the outcome of a caller's request is kept under, empty when it has no id."""
    return f"{names.catalog_name(catalog)}:{request_id.lower()}" if request_id else ""
