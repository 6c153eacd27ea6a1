"""Products as callers give them, and as the catalogue keeps them."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.gateway import attributes, masks
from services.gateway.etags import etag_of
from services.gateway.photo_vectors import ByModel, by_model
from services.gateway.query import check_image
from services.gateway.store.interface import CatalogRecord, ProductChange, StoredProduct
from services.mesh import names, status
from services.mesh.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, VitrineError
from vitrine.v1 import catalog_pb2, common_pb2

MAX_TITLE_CHARACTERS = 1_000
MAX_DESCRIPTION_CHARACTERS = 10_000
MAX_PHOTOS = 16
MAX_PHOTO_ID_CHARACTERS = 128
# Enough of a digest to tell the photos of one product apart.
_ID_DIGITS = 16
_MADE: Final = ("media_path", "width", "height")

Vectors = list[common_pb2.Vector]


class Presence(enum.Enum):
    """Whether a product that is to be written must be there already."""

    ANY = "any"
    NEW = "new"
    THERE = "there"


@dataclass(frozen=True, slots=True)
class AskedPhoto:
    """A photo that a caller gave: its place among the product's, and its content or its address.

    `digest` is that of the content, and empty for an address; `id` may be empty.
    """

    index: int
    id: str
    content: bytes = b""
    digest: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A product on its way into the catalogue, as its caller gave it.

    `paths` are the fields that it writes, see `masks`. `photos` are given as they could be read, or why one
    cannot, and None when the product keeps those that it has.
    """

    product_id: str
    product: catalog_pb2.Product
    paths: tuple[str, ...]
    photos: tuple[AskedPhoto | catalog_pb2.PhotoProblem, ...] | None
    etag: str = ""
    presence: Presence = Presence.ANY

    @property
    def asked(self) -> list[AskedPhoto]:
        """The photos that could be read."""
        return [photo for photo in self.photos or () if isinstance(photo, AskedPhoto)]


def read(
    item: catalog_pb2.UpsertProduct,
    catalog: str,
    *,
    max_image_bytes: int,
    paths: tuple[str, ...] | None = None,
    presence: Presence = Presence.ANY,
) -> Draft:
    """A product to write; raises InvalidArgument naming its field.

    Without `paths` all that the shop states is written, the photos if there are some or `clear_photos` is
    set. A photo that cannot be one does not fail its product while there are others.
    """
    product = item.product
    of, product_id = names.parse_product(product.name, "name")
    if of != catalog:
        raise InvalidArgument("name", f"is not of {names.catalog_name(catalog)}")
    if product.photos and item.clear_photos:
        raise InvalidArgument("clear_photos", "contradicts the photos that are given")
    if paths is None:
        has_photos = bool(product.photos) or item.clear_photos
        paths = tuple(path for path in masks.STATED if path != masks.PHOTOS or has_photos)
    bare = masks.applied(
        [path for path in paths if path != masks.PHOTOS], product, catalog_pb2.Product(name=product.name)
    )
    if len(bare.title) > MAX_TITLE_CHARACTERS:
        raise InvalidArgument("title", f"at most {MAX_TITLE_CHARACTERS} characters")
    if len(bare.description) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgument("description", f"at most {MAX_DESCRIPTION_CHARACTERS} characters")
    attributes.check_attributes(bare.attributes, "attributes")
    photos = None
    if masks.PHOTOS in paths:
        if len(product.photos) > MAX_PHOTOS:
            raise InvalidArgument("photos", f"at most {MAX_PHOTOS}")
        photos = tuple(_asked(index, photo, max_image_bytes) for index, photo in enumerate(product.photos))
    return Draft(product_id, bare, paths, photos, product.etag, presence)


def _asked(
    index: int, photo: catalog_pb2.Photo, max_image_bytes: int
) -> AskedPhoto | catalog_pb2.PhotoProblem:
    try:
        _check_photo(photo, max_image_bytes)
    except InvalidArgument as error:
        return _problem(index, error)
    content = photo.image.content
    if photo.image.uri:
        return AskedPhoto(index, photo.id, uri=photo.image.uri)
    return AskedPhoto(index, photo.id, content, hashlib.sha256(content).hexdigest())


def _check_photo(photo: catalog_pb2.Photo, max_image_bytes: int) -> None:
    check_image(photo.image, "image", max_image_bytes)
    if photo.image.HasField("box"):
        raise InvalidArgument("image.box", "a product's photo is taken whole")
    if len(photo.id) > MAX_PHOTO_ID_CHARACTERS or not photo.id.isprintable():
        raise InvalidArgument("id", f"at most {MAX_PHOTO_ID_CHARACTERS} printable characters")


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue has of a product already.

    `vectors` are those of its photos by digest, `generations` the ids of those of its catalogue's generations
    that it has rows of.
    """

    revision: int
    product: catalog_pb2.Product
    vectors: Mapping[str, ByModel]
    generations: frozenset[str]

    @classmethod
    def of(cls, stored: StoredProduct, record: CatalogRecord) -> Known:
        """From what the store has of it.

        Rows of a deleted generation stay until they are purged, and nobody writes them any more: what they
        have under a photo's id may be another photo's. They count for nothing.
        """
        kept = stored.rows.keys() & {each.generation.id for each in record.generations}
        product = catalog_pb2.Product.FromString(stored.product)
        digests = {photo.id: photo.digest for photo in product.photos}
        vectors: dict[str, dict[tuple[str, str], common_pb2.Vector]] = {}
        for generation in kept:
            for row in catalog_pb2.ProductRows.FromString(stored.rows[generation]).photos:
                if row.photo_id in digests:
                    vectors.setdefault(digests[row.photo_id], {}).update(by_model(row.vectors))
        return cls(stored.revision, product, vectors, frozenset(kept))

    @property
    def photos(self) -> dict[str, catalog_pb2.Photo]:
        """Its photos by digest."""
        return {photo.digest: photo for photo in self.product.photos}

    @property
    def fetched(self) -> dict[str, str]:
        """The digests of its photos by the addresses that they were fetched from."""
        return {photo.uri: photo.digest for photo in self.product.photos if photo.uri}


def check(draft: Draft, known: Known | None) -> None:
    """Raise what speaks against writing a draft over what there is: AlreadyExists, NotFound or Aborted."""
    name = draft.product.name
    if draft.presence is Presence.NEW and known is not None:
        raise AlreadyExists(f"there is {name} already")
    if draft.presence is Presence.THERE and known is None:
        raise NotFound(f"there is no {name}")
    check_etag(draft.etag, None if known is None else known.product)


def check_etag(etag: str, product: catalog_pb2.Product | None) -> None:
    """Raise Aborted (reason ETAG_MISMATCH) when an etag is given that is not that of the product."""
    if etag and (product is None or etag_of(product) != etag):
        raise Aborted("the product is not what this etag names any more", reason="ETAG_MISMATCH")


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a product: as the shop states it, with photos that have ids and digests."""

    draft: Draft
    known: Known | None
    product: catalog_pb2.Product
    problems: list[catalog_pb2.PhotoProblem] = field(default_factory=list)

    def check(self) -> None:
        """Raise what befell its photos when some were given and none is left."""
        if self.problems and not self.product.photos:
            raise _worst(self.problems)

    @property
    def keeps_photos(self) -> bool:
        """Whether its photos stay as they are, but perhaps for their addresses."""
        if self.known is None:
            return False
        return list(_ids(self.known.product).items()) == list(_ids(self.product).items())

    @property
    def is_unchanged(self) -> bool:
        """Whether writing it would change nothing."""
        if self.known is None:
            return False
        before = catalog_pb2.Product()
        before.CopyFrom(self.known.product)
        for output in ("labels", "etag", "near_duplicates"):
            before.ClearField(output)
        for photo in before.photos:
            _bare(photo)
        return before == self.product

    @property
    def kept_duplicates(self) -> list[catalog_pb2.NearDuplicate]:
        """The near duplicates that were found of photos that stay."""
        if self.known is None:
            return []
        before, now = _ids(self.known.product), _ids(self.product)
        return [
            each
            for each in self.known.product.near_duplicates
            if each.photo_id in now and now[each.photo_id] == before.get(each.photo_id)
        ]

    @property
    def new_photos(self) -> list[catalog_pb2.Photo]:
        """The photos that the product did not have."""
        before = self.known.photos if self.known else {}
        return [photo for photo in self.product.photos if photo.digest not in before]


def planned(
    draft: Draft,
    known: Known | None,
    *,
    fetched: Mapping[str, str | VitrineError],
    refused: Mapping[str, VitrineError],
) -> Plan:
    """What a draft makes of what there is.

    `fetched` has the digests of what lay behind addresses, or why nothing did; an address that a photo of
    the product was fetched from need not be among them: it stands for that photo. `refused` tells by digest
    of photos that cannot be taken. One that is refused for what it is is left out while there are others;
    one that was merely unlucky fails its product, which is to be written again.
    Raises InvalidArgument naming the product's field, and what befell an unlucky photo.
    """
    product = catalog_pb2.Product(name=draft.product.name)
    if known is not None:
        product = masks.applied(("name", *masks.STATED), known.product, product)
    product = masks.applied([path for path in draft.paths if path != masks.PHOTOS], draft.product, product)
    if len(product.attributes) > attributes.MAX_ATTRIBUTES:
        raise InvalidArgument("attributes", f"at most {attributes.MAX_ATTRIBUTES} attributes")
    plan = Plan(draft, known, product)
    if draft.photos is None:
        for photo in product.photos:
            _bare(photo)
        return plan
    del product.photos[:]
    digests: dict[str, str | VitrineError] = {**fetched, **(known.fetched if known else {})}
    for asked in draft.photos:
        if isinstance(asked, catalog_pb2.PhotoProblem):
            plan.problems.append(asked)
            continue
        digest = asked.digest or digests[asked.uri]
        error = digest if isinstance(digest, VitrineError) else refused.get(digest)
        if error is None:
            try:
                product.photos.append(_taken(asked, str(digest), taken=_ids(product)))
            except InvalidArgument as doubled:
                plan.problems.append(_problem(asked.index, doubled))
        elif error is digest or isinstance(error, InvalidArgument):
            plan.problems.append(_problem(asked.index, error))
        else:
            raise error
    return plan


def change_of(
    plan: Plan,
    catalog: str,
    *,
    photos: Sequence[catalog_pb2.Photo],
    labels: Sequence[common_pb2.Label],
    near_duplicates: Sequence[catalog_pb2.NearDuplicate],
    rows: Sequence[catalog_pb2.ProductRows] | None,
) -> ProductChange:
    """What goes into the log; `rows` is None when the photos stay as they are."""
    product = catalog_pb2.Product()
    product.CopyFrom(plan.product)
    del product.photos[:]
    product.photos.extend(photos)
    product.labels.extend(labels)
    product.near_duplicates.extend(near_duplicates)
    product.etag = etag_of(product)
    return ProductChange(
        catalog=catalog,
        product_id=plan.draft.product_id,
        product=product.SerializeToString(deterministic=True),
        rows=None if rows is None else {each.generation: each.SerializeToString() for each in rows},
        photo_count=len(product.photos),
        flagged=bool(product.near_duplicates),
    )


def _taken(photo: AskedPhoto, digest: str, *, taken: Mapping[str, str]) -> catalog_pb2.Photo:
    photo_id = photo.id or digest[:_ID_DIGITS]
    if photo_id in taken:
        raise InvalidArgument("id", f"the product has a photo {photo_id!r} already")
    return catalog_pb2.Photo(id=photo_id, digest=digest, uri=photo.uri)


def _ids(product: catalog_pb2.Product) -> dict[str, str]:
    """The digests of a product's photos by their ids, in order."""
    return {photo.id: photo.digest for photo in product.photos}


def _bare(photo: catalog_pb2.Photo) -> None:
    """Take away what the catalogue made of a photo."""
    for output in _MADE:
        photo.ClearField(output)


def _problem(index: int, error: VitrineError) -> catalog_pb2.PhotoProblem:
    return catalog_pb2.PhotoProblem(index=index, status=status.to_item(error))


def _worst(problems: Sequence[catalog_pb2.PhotoProblem]) -> VitrineError:
    """Why a product that has lost all its photos is not written: if possible what may pass by itself."""
    errors = [(problem.index, status.from_item(problem.status)) for problem in problems]
    passing = next((error for _, error in errors if not isinstance(error, InvalidArgument)), None)
    index, first = errors[0]
    if passing is not None or not isinstance(first, InvalidArgument):
        return passing or first
    return InvalidArgument(f"photos[{index}].{first.field or 'image'}", first.message, reason=first.reason)
