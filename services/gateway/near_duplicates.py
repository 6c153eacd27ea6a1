"""Products that show the same picture as a new photo, or nearly so.

Two photos are near duplicates when the cosine of their vectors in one space is above a bound. They are looked
for among the photos of the same batch, those that this process has written lately, and those that the shards
hold, which are a moment behind. What is found is checked against what the catalogue has now. Nothing of this
ever fails a write.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from services.gateway.generations import SEMANTIC_SPACE, spec_of
from services.gateway.photo_vectors import ByModel
from services.gateway.products import Plan
from services.gateway.shards import Shards
from services.gateway.store.interface import CatalogRecord, Store
from services.mesh import names, vectors
from services.mesh.errors import VitrineError
from vitrine.v1 import catalog_pb2, common_pb2, vectorsearch_pb2

_log = structlog.get_logger()

SPACE = SEMANTIC_SPACE
"""The space in which they are told apart best: of 705 photos of a shop and the same in another size and
compression, 89% have a cosine of 0.97 and more there, and 41 other pairs of its 6,619 photos do, most of them
the same article. In the spaces that are trained for likeness articles of a kind lie as close."""

MAX_FOUND = 8
"""Near duplicates that are told of a product at most, the nearest."""
# Shards have what was written before these long since.
MAX_RECENT = 1_024
MAX_KINDS = 16
MAX_SEARCHES = 64
# Several photos of a product may be alike, and of what was alike once some may be gone.
MAX_COMPARED = 4 * MAX_FOUND
DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Photo:
    """A photo with its vector, which has the length one."""

    product_id: str
    photo_id: str
    digest: str
    vector: common_pb2.Vector


@dataclass(frozen=True, slots=True)
class _Pair:
    """A new photo and one that is like it."""

    photo: _Photo
    product_id: str
    photo_id: str
    cosine: float


class NearDuplicateFinder:
    """Finds near duplicates of new photos: those with a cosine of `cosine` and more, none when that is 0."""

    def __init__(self, *, store: Store, shards: Shards, cosine: float) -> None:
        self._store = store
        self._shards = shards
        self._cosine = cosine
        # By catalogue and model: vectors of two models have nothing in common, perhaps not even their length.
        self._recent: OrderedDict[tuple[str, str], tuple[_Photo, ...]] = OrderedDict()

    async def find(
        self, record: CatalogRecord, plans: Mapping[str, Plan], by_digest: Mapping[str, ByModel]
    ) -> dict[str, list[catalog_pb2.NearDuplicate]]:
        """Other products that show the same as the new photos of some, by product, the nearest first.

        `plans` are all products of a batch: those that come later in it are told of those before them, as if
        they had been written one by one. `by_digest` has the vectors of their photos.
        """
        try:
            return await self._found(record, plans, by_digest)
        except Exception as error:  # noqa: BLE001 - whatever it is, the products are to be written
            _log.error("near duplicates are not looked for", catalog=record.catalog, exc_info=error)
            return {}

    async def _found(
        self, record: CatalogRecord, plans: Mapping[str, Plan], by_digest: Mapping[str, ByModel]
    ) -> dict[str, list[catalog_pb2.NearDuplicate]]:
        photos = self._photos(record, plans, by_digest)
        if not photos:
            return {}
        recent = self._recent.get(_key(record, photos), ())
        pairs = await asyncio.to_thread(_alike, photos, recent, self._cosine)
        pairs += await self._on_shards(record, photos)
        ids = {pair.product_id for pair in pairs}
        digests = {
            product_id: {photo.id: photo.digest for photo in plan.product.photos}
            for product_id, plan in plans.items()
            if product_id in ids
        }
        try:
            stored = await self._store.products(record.catalog, ids - digests.keys())
        except VitrineError as error:
            _log.warning("near duplicates are not checked, so none is told", error=error.message)
            return {}
        for product_id, each in stored.items():
            digests[product_id] = {photo.id: photo.digest for photo in each.message().photos}
        return _told(record.catalog, pairs, digests)

    def remember(
        self, record: CatalogRecord, plans: Mapping[str, Plan], by_digest: Mapping[str, ByModel]
    ) -> None:
        """Let new photos be compared with those of products that were written just now."""
        photos = self._photos(record, plans, by_digest)
        if photos:
            key = _key(record, photos)
            self._recent[key] = (*self._recent.pop(key, ()), *photos)[-MAX_RECENT:]
            if len(self._recent) > MAX_KINDS:
                self._recent.popitem(last=False)

    def _photos(
        self, record: CatalogRecord, plans: Mapping[str, Plan], by_digest: Mapping[str, ByModel]
    ) -> list[_Photo]:
        """The new photos of products in the space that counts, in order."""
        spec = spec_of(record.generation, SPACE)
        if spec is None or not self._cosine:
            return []
        key = spec.space, spec.model_digest
        return [
            _Photo(product_id, photo.id, photo.digest, by_digest[photo.digest][key])
            for product_id, plan in plans.items()
            for photo in plan.new_photos
            if key in by_digest.get(photo.digest, {})
        ]

    async def _on_shards(self, record: CatalogRecord, photos: Sequence[_Photo]) -> list[_Pair]:
        """What the shards hold that is like some photos, as far as they answer."""
        pairs: list[_Pair] = []
        for start in range(0, len(photos), MAX_SEARCHES):
            some = photos[start : start + MAX_SEARCHES]
            request = vectorsearch_pb2.BatchSearchVectorsRequest(
                requests=[_search(record, photo, self._cosine) for photo in some]
            )
            try:
                found = await self._shards.batch_search(request)
            except VitrineError as error:
                _log.warning("no near duplicates from the shards", error=error.message, reason=error.reason)
                break
            for photo, candidates in zip(some, found, strict=True):
                pairs += _pairs(photo, candidates)
        return pairs


def merged(
    kept: Iterable[catalog_pb2.NearDuplicate], found: Iterable[catalog_pb2.NearDuplicate]
) -> list[catalog_pb2.NearDuplicate]:
    """The nearest of what was found before and now, each product once, the nearest first."""
    best: dict[str, catalog_pb2.NearDuplicate] = {}
    for each in (*kept, *found):
        if each.product not in best or best[each.product].cosine < each.cosine:
            best[each.product] = each
    return sorted(best.values(), key=lambda each: (-each.cosine, each.product))[:MAX_FOUND]


def _key(record: CatalogRecord, photos: Sequence[_Photo]) -> tuple[str, str]:
    """The kind of some photos of a catalogue, all with vectors of one model."""
    return record.catalog, photos[0].vector.model_digest


def _search(record: CatalogRecord, photo: _Photo, cosine: float) -> vectorsearch_pb2.SearchVectorsRequest:
    return vectorsearch_pb2.SearchVectorsRequest(
        catalog=record.catalog,
        generation=record.active,
        # A photo without a vector is like no other.
        queries=[vectorsearch_pb2.SpaceQuery(vector=photo.vector, weight=1, neutral=-1)],
        limit=MAX_FOUND,
        exclude_product_ids=[photo.product_id],
        min_score=cosine,
    )


def _pairs(photo: _Photo, candidates: common_pb2.Candidates) -> list[_Pair]:
    cosines = [cosine for space in candidates.spaces for cosine in np.frombuffer(space.cosines, "<f4")]
    return [
        _Pair(photo, product_id, photo_id, float(cosine))
        for product_id, photo_id, cosine in zip(
            candidates.product_ids, candidates.photo_ids, cosines, strict=True
        )
    ]


def _alike(photos: Sequence[_Photo], recent: Sequence[_Photo], cosine: float) -> list[_Pair]:
    """Each photo with those that are like it, of other products: recent ones, and those before it."""
    others = [*recent, *photos]
    matrix = np.stack([vectors.decode(photo.vector, field="vector") for photo in others])
    pairs = []
    for index, photo in enumerate(photos):
        before = matrix[: len(recent) + index]
        cosines = before @ matrix[len(recent) + index]
        alike = np.flatnonzero(cosines >= cosine)
        nearest = alike[np.argsort(-cosines[alike], kind="stable")]
        found = 0
        for place in nearest.tolist():
            other = others[place]
            if other.product_id != photo.product_id:
                pairs.append(_Pair(photo, other.product_id, other.photo_id, float(cosines[place])))
                found += 1
            if found == MAX_COMPARED:
                break
    return pairs


def _told(
    catalog: str, pairs: Iterable[_Pair], digests: Mapping[str, Mapping[str, str]]
) -> dict[str, list[catalog_pb2.NearDuplicate]]:
    """Near duplicates by product; `digests` are those of the photos that the others have now."""
    found: dict[str, list[catalog_pb2.NearDuplicate]] = {}
    for pair in pairs:
        digest = digests.get(pair.product_id, {}).get(pair.photo_id)
        if digest is not None:
            found.setdefault(pair.photo.product_id, []).append(
                catalog_pb2.NearDuplicate(
                    product=names.product_name(catalog, pair.product_id),
                    photo_id=pair.photo.photo_id,
                    other_photo_id=pair.photo_id,
                    cosine=1.0 if digest == pair.photo.digest else round(min(pair.cosine, 1.0), DIGITS),
                )
            )
    return {product_id: merged((), each) for product_id, each in found.items()}
