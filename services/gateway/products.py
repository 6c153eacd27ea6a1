"""Products as callers give them, and as the catalogue keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.gateway import attributes
from services.gateway.query import check_image
from services.gateway.store.interface import ProductChange, StoredProduct
from services.mesh import names, status
from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.v1 import catalog_pb2, common_pb2

MAX_TITLE_CHARACTERS = 1_000
MAX_DESCRIPTION_CHARACTERS = 10_000
MAX_PHOTOS = 16
MAX_PHOTO_ID_CHARACTERS = 128
# Enough of a digest to tell the photos of one product apart.
_ID_DIGITS = 16

Vectors = list[common_pb2.Vector]


@dataclass(frozen=True, slots=True)
class GivenPhoto:
    """A photo that a caller gave: its place among the product's, and its content."""

    index: int
    id: str
    digest: str
    content: bytes


@dataclass(slots=True)
class Draft:
    """A product on its way into the catalogue.

    `given` are the photos that could be read, or None when the product keeps those that it has.
    """

    product_id: str
    product: catalog_pb2.Product
    given: list[GivenPhoto] | None
    problems: list[catalog_pb2.PhotoProblem] = field(default_factory=list)

    def refuse_photo(self, index: int, error: VitrineError) -> None:
        """Leave out a photo and say why."""
        assert self.given is not None
        self.given = [photo for photo in self.given if photo.index != index]
        self.problems.append(catalog_pb2.PhotoProblem(index=index, status=status.to_item(error)))

    def check_photos(self) -> None:
        """Raise InvalidArgument when photos were given and none is left."""
        if self.problems and not self.given:
            first = self.problems[0]
            raise InvalidArgument(
                f"photos[{first.index}].{first.status.field or 'image'}", first.status.message
            )


def read(item: catalog_pb2.UpsertProduct, catalog: str, *, max_image_bytes: int) -> Draft:
    """A product to write; raises InvalidArgument naming its field.

    A photo that cannot be one does not fail its product while there are others.
    """
    product = item.product
    of, product_id = names.parse_product(product.name, "name")
    if of != catalog:
        raise InvalidArgument("name", f"is not of {names.catalog_name(catalog)}")
    if len(product.title) > MAX_TITLE_CHARACTERS:
        raise InvalidArgument("title", f"at most {MAX_TITLE_CHARACTERS} characters")
    if len(product.description) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgument("description", f"at most {MAX_DESCRIPTION_CHARACTERS} characters")
    if len(product.photos) > MAX_PHOTOS:
        raise InvalidArgument("photos", f"at most {MAX_PHOTOS}")
    if product.photos and item.clear_photos:
        raise InvalidArgument("clear_photos", "contradicts the photos that are given")
    attributes.check_attributes(product.attributes, "attributes")
    bare = catalog_pb2.Product(
        name=product.name,
        title=product.title,
        description=product.description,
        attributes=product.attributes,
    )
    draft = Draft(product_id, bare, [] if product.photos or item.clear_photos else None)
    for index, photo in enumerate(product.photos):
        _add_photo(draft, index, photo, max_image_bytes)
    return draft


def _add_photo(draft: Draft, index: int, photo: catalog_pb2.Photo, max_image_bytes: int) -> None:
    assert draft.given is not None
    try:
        given = _photo(index, photo, max_image_bytes, taken={other.id for other in draft.given})
    except InvalidArgument as error:
        draft.refuse_photo(index, error)
    else:
        draft.given.append(given)


def _photo(
    index: int, photo: catalog_pb2.Photo, max_image_bytes: int, *, taken: Collection[str]
) -> GivenPhoto:
    if photo.image.uri:
        raise InvalidArgument("image.uri", "a product's photo is given as content")
    check_image(photo.image, "image", max_image_bytes)
    if photo.image.HasField("box"):
        raise InvalidArgument("image.box", "a product's photo is taken whole")
    if len(photo.id) > MAX_PHOTO_ID_CHARACTERS or not photo.id.isprintable():
        raise InvalidArgument("id", f"at most {MAX_PHOTO_ID_CHARACTERS} printable characters")
    digest = hashlib.sha256(photo.image.content).hexdigest()
    photo_id = photo.id or digest[:_ID_DIGITS]
    if photo_id in taken:
        raise InvalidArgument("id", f"the product has a photo {photo_id!r} already")
    return GivenPhoto(index, photo_id, digest, photo.image.content)


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue has of a product already: the product, and the vectors of its photos by digest."""

    revision: int
    product: catalog_pb2.Product
    vectors: Mapping[str, Vectors]

    @classmethod
    def of(cls, stored: StoredProduct) -> Known:
        """From what the store has of it."""
        product = catalog_pb2.Product.FromString(stored.product)
        rows = catalog_pb2.ProductRows.FromString(stored.rows or b"")
        digests = {photo.id: photo.digest for photo in product.photos}
        return cls(
            stored.revision,
            product,
            {digests[row.photo_id]: list(row.vectors) for row in rows.photos if row.photo_id in digests},
        )

    @property
    def photos(self) -> dict[str, catalog_pb2.Photo]:
        """Its photos by digest."""
        return {photo.digest: photo for photo in self.product.photos}


def keeps_photos(draft: Draft, known: Known | None) -> bool:
    """Whether the product's photos stay as they are."""
    if draft.given is None:
        return known is not None
    before = [(photo.id, photo.digest) for photo in known.product.photos] if known else []
    return known is not None and before == [(photo.id, photo.digest) for photo in draft.given]


def is_unchanged(draft: Draft, known: Known | None) -> bool:
    """Whether writing the product would change nothing."""
    if known is None or not keeps_photos(draft, known):
        return False
    before = catalog_pb2.Product()
    before.CopyFrom(known.product)
    before.ClearField("photos")
    before.ClearField("labels")
    return before == draft.product


def change_of(
    draft: Draft,
    catalog: str,
    photos: Sequence[catalog_pb2.Photo],
    labels: Sequence[common_pb2.Label],
    rows: catalog_pb2.ProductRows | None,
) -> ProductChange:
    """What goes into the log; `rows` is None when the photos stay as they are."""
    product = catalog_pb2.Product()
    product.CopyFrom(draft.product)
    product.photos.extend(photos)
    product.labels.extend(labels)
    return ProductChange(
        catalog=catalog,
        product_id=draft.product_id,
        product=product.SerializeToString(deterministic=True),
        rows=None if rows is None else rows.SerializeToString(),
        photo_count=len(product.photos),
    )
