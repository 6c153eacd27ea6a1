"""Products made ready for a generation that is new: their photos' vectors by its models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog

from services.gateway.media import MediaStore
from services.gateway.photo_vectors import ByModel, ModelKey, PhotoEmbedder, models_of, rows_of
from services.gateway.products import Known
from services.gateway.store.interface import CatalogRecord, ProductChange, Store, StoredProduct
from services.gateway.store.log import ChangeLog, Stale, Write
from services.gateway.writing import grouped
from services.mesh.errors import InvalidArgument, Unavailable, VitrineError
from vitrine.v1 import common_pb2

_log = structlog.get_logger()

# So few that progress is seen, and that little is lost with a process that dies.
PAGE_PRODUCTS = 32
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Page:
    """What came of a page: its last product, how many were written, and why others were not, if any."""

    last: str
    written: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Lacking:
    """A photo that lacks vectors, and the file that its picture is in."""

    file: str
    models: frozenset[ModelKey]


class GenerationBuilder:
    """Embeds what a generation lacks, a page of products at a time.

    Vectors that a product has by the same models are taken over; other photos are embedded from the pictures
    that are kept of them, which are smaller than what was given.
    """

    def __init__(self, *, store: Store, log: ChangeLog, embedder: PhotoEmbedder, media: MediaStore) -> None:
        self._store = store
        self._log = log
        self._embedder = embedder
        self._media = media

    async def build_page(
        self, record: CatalogRecord, generation: common_pb2.Generation, after: str
    ) -> Page | None:
        """Embed the next products, by id, that lack rows of a generation; None when none does after `after`.

        A photo that the models refuse is left out. A product with one that may be embedded another time is
        left for then: so is one whose picture is not to be had, since a host or a disk that is away for an
        hour must not empty the generation. Raises what the store and the embedder as a whole raise.
        """
        lacking = await self._store.lacking(record.catalog, generation.id, after, PAGE_PRODUCTS)
        if not lacking:
            return None
        known = [Known.of(stored, record) for stored in lacking]
        made = await self._made(record.catalog, known, generation)
        problem = next(
            (
                f"{error.reason}: {error.message} (a photo of {each.product.name})"
                for each in known
                for photo in each.product.photos
                if isinstance(error := made.get(photo.digest), VitrineError) and not _is_final(error)
            ),
            "",
        )
        written = await self._write(record, generation, lacking, made)
        return Page(lacking[-1].product_id, written, problem)

    async def _made(
        self, catalog: str, products: Collection[Known], generation: common_pb2.Generation
    ) -> dict[str, ByModel | VitrineError]:
        """New vectors of photos, or why they have none, by digest.

        Photos of a product that has to wait for another one's picture are not embedded yet.
        """
        models = models_of([generation])
        lacking: dict[str, _Lacking] = {}
        for known in products:
            for photo in known.product.photos:
                keys = models.keys() - known.vectors.get(photo.digest, {}).keys()
                if keys:
                    file = photo.media_path.rpartition("/")[2]
                    lacking[photo.digest] = _Lacking(file, frozenset(keys))
        found: dict[str, ByModel | VitrineError] = {}
        contents: dict[str, bytes] = {}
        for digest, each in lacking.items():
            try:
                contents[digest] = await self._media.data(each.file)
            except VitrineError as error:
                if isinstance(error, Unavailable) and error.reason == "STORE_UNAVAILABLE":
                    raise
                # Whatever is wrong with it now, nobody has looked at the picture itself.
                found[digest] = Unavailable(error.message, reason=error.reason)
        wanted = {
            photo.digest: lacking[photo.digest].models
            for known in products
            if found.keys().isdisjoint(photo.digest for photo in known.product.photos)
            for photo in known.product.photos
            if photo.digest in lacking
        }
        found |= await self._embedder.vectors({digest: contents[digest] for digest in wanted}, wanted, models)
        for digest, made in found.items():
            if isinstance(made, VitrineError) and _is_final(made):
                _log.warning(
                    "a photo has no place in the new generation",
                    catalog=catalog,
                    generation=generation.id,
                    digest=digest,
                    error=made.message,
                )
        return found

    async def _write(
        self,
        record: CatalogRecord,
        generation: common_pb2.Generation,
        lacking: Iterable[StoredProduct],
        made: Mapping[str, ByModel | VitrineError],
    ) -> int:
        """Write rows of products, anew for as long as others write these; how many were written."""
        stored = {each.product_id: each for each in lacking}
        written = 0
        for _ in range(MAX_ATTEMPTS):
            changes = [
                change
                for each in stored.values()
                if generation.id not in each.rows
                and (change := _change(each, record, generation, made)) is not None
            ]
            try:
                for group in grouped(changes):
                    await self._log.write(
                        Write(
                            tuple(group),
                            {change.key: stored[change.product_id].revision for change in group},
                            expected_catalogs={record.catalog: record.revision},
                        )
                    )
                    written += len(group)
                return written
            except Stale:
                now = await self._store.catalog(record.catalog)
                if now is None or now.revision != record.revision:
                    return written
                stored = dict(await self._store.products(record.catalog, list(stored), with_rows=True))
        return written


def _change(
    stored: StoredProduct,
    record: CatalogRecord,
    generation: common_pb2.Generation,
    made: Mapping[str, ByModel | VitrineError],
) -> ProductChange | None:
    """The product as it is with rows of the generation, or None when it is left for another time."""
    known = Known.of(stored, record)
    models = models_of([generation])
    vectors: dict[str, dict[ModelKey, common_pb2.Vector]] = {}
    for photo in known.product.photos:
        new = made.get(photo.digest, {})
        if isinstance(new, VitrineError):
            if not _is_final(new):
                return None
            continue
        vectors[photo.digest] = {**known.vectors.get(photo.digest, {}), **new}
        # The product has got it since the page was read.
        if not models.keys() <= vectors[photo.digest].keys():
            return None
    rows = rows_of(generation, known.product.photos, vectors)
    return ProductChange(
        stored.catalog,
        stored.product_id,
        product=stored.product,
        rows={generation.id: rows.SerializeToString()},
        photo_count=len(known.product.photos),
        flagged=bool(known.product.near_duplicates),
    )


def _is_final(error: VitrineError) -> bool:
    """Whether trying again would not help: the picture itself was refused."""
    return isinstance(error, InvalidArgument)
