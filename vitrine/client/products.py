"""Catalogues, products and photos as plain values, and their messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from services.mesh import names, status
from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.client.batches import batched
from vitrine.client.filters import Value, value_message, value_of
from vitrine.v1 import catalog_pb2, common_pb2

# The largest picture that the embedder takes by default; larger ones are refused before they are sent.
MAX_PHOTO_BYTES = 20 << 20
# Limits of one BatchUpsertProducts call; the bytes leave room for the rest below the message limit.
MAX_BATCH_PRODUCTS = 256
MAX_BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class Photo:
    """A photo of a product: `content` on the way in, everything else on the way out."""

    content: bytes = field(default=b"", repr=False)
    id: str = ""
    digest: str = ""
    media_path: str = ""
    width: int = 0
    height: int = 0

    @classmethod
    def read(cls, path: str | Path) -> Photo:
        """The photo in a file; raises InvalidArgument when it cannot be read, is empty or too large."""
        return cls(content=read_picture(path, field="photo"))


@dataclass(frozen=True)
class Label:
    """A property that a model inferred, with its probability (0 to 1)."""

    name: str
    value: str
    probability: float


@dataclass(frozen=True)
class Product:
    """A product.

    An attribute is one value or several; `labels`, `revision` and `updated` are the server's.
    """

    id: str
    title: str = ""
    description: str = ""
    attributes: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)
    photos: Sequence[Photo] = ()
    labels: Sequence[Label] = ()
    revision: int = 0
    updated: datetime | None = None


@dataclass(frozen=True)
class UpsertOutcome:
    """What became of one product: `error` when it was refused, `photo_errors` by index when photos were."""

    product: str
    unchanged: bool
    error: VitrineError | None
    photo_errors: Mapping[int, VitrineError]


@dataclass(frozen=True)
class UpsertReport:
    """One outcome a product, in order, and the revision that sees all writes (a `min_revision`)."""

    outcomes: Sequence[UpsertOutcome]
    revision: int


@dataclass(frozen=True)
class Catalog:
    """A catalogue; `spaces` are those of its active generation."""

    id: str
    products: int
    photos: int
    revision: int
    generation: str
    spaces: Sequence[str]
    profiles: Sequence[str]
    created: datetime | None


def read_picture(path: str | Path, *, field: str) -> bytes:
    """The bytes of a picture file of at most `MAX_PHOTO_BYTES`.

    Raises InvalidArgument naming `field` when it cannot be read, is empty or larger; whether it is a picture
    is for the server to say.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_PHOTO_BYTES + 1)
    except OSError as error:
        raise InvalidArgument(field, f"{path}: {error.strerror or error}") from error
    if not content:
        raise InvalidArgument(field, f"{path}: the file is empty")
    if len(content) > MAX_PHOTO_BYTES:
        raise InvalidArgument(field, f"{path}: larger than {MAX_PHOTO_BYTES >> 20} MiB")
    return content


def product_message(catalog: str, product: Product) -> catalog_pb2.Product:
    """The message of a product to write.

    Photos without content are those the product has already, and are kept by giving none; raises
    InvalidArgument when only some have content, or for a bad id or attribute value.
    """
    names.check_product_id(product.id, "product.id")
    given = [photo for photo in product.photos if photo.content]
    if given and len(given) < len(product.photos):
        raise InvalidArgument(
            "product.photos", "give the content of all photos, or of none to keep those there are"
        )
    return catalog_pb2.Product(
        name=names.product_name(catalog, product.id),
        title=product.title,
        description=product.description,
        photos=[
            catalog_pb2.Photo(id=photo.id, image=common_pb2.Image(content=photo.content)) for photo in given
        ],
        attributes={name: _values_message(name, value) for name, value in product.attributes.items()},
    )


def product_of(message: catalog_pb2.Product) -> Product:
    """The product in a message."""
    return Product(
        id=message.name.rpartition("/")[2],
        title=message.title,
        description=message.description,
        attributes={name: _values(values) for name, values in message.attributes.items()},
        photos=tuple(
            Photo(
                id=photo.id,
                digest=photo.digest,
                media_path=photo.media_path,
                width=photo.width,
                height=photo.height,
            )
            for photo in message.photos
        ),
        labels=labels_of(message.labels),
        revision=message.revision,
        updated=message.update_time.ToDatetime() if message.HasField("update_time") else None,
    )


def labels_of(messages: Iterable[common_pb2.Label]) -> tuple[Label, ...]:
    """The labels in messages."""
    return tuple(Label(label.name, label.value, label.probability) for label in messages)


def catalog_of(message: catalog_pb2.Catalog) -> Catalog:
    """The catalogue in a message."""
    generation = message.active_generation
    return Catalog(
        id=message.name.rpartition("/")[2],
        products=message.product_count,
        photos=message.photo_count,
        revision=message.revision,
        generation=generation.id,
        spaces=tuple(spec.space for spec in generation.spaces),
        profiles=tuple(profile.name for profile in generation.profiles),
        created=message.create_time.ToDatetime() if message.HasField("create_time") else None,
    )


def outcome_of(message: catalog_pb2.UpsertResult) -> UpsertOutcome:
    """The outcome in a message."""
    failed = message.HasField("status") and message.status.code != 0
    return UpsertOutcome(
        product=message.product.rpartition("/")[2],
        unchanged=message.unchanged,
        error=status.from_item(message.status) if failed else None,
        photo_errors={problem.index: status.from_item(problem.status) for problem in message.photo_problems},
    )


def batches(messages: Iterable[catalog_pb2.Product]) -> Iterator[list[catalog_pb2.Product]]:
    """Cut products into batches that one BatchUpsertProducts call takes."""
    return batched(
        messages,
        max_items=MAX_BATCH_PRODUCTS,
        weight=lambda message: message.ByteSize(),
        max_weight=MAX_BATCH_BYTES,
    )


def _values_message(name: str, value: Value | Sequence[Value]) -> common_pb2.AttributeValues:
    values = [value] if isinstance(value, str | bool | int | float) else value
    return common_pb2.AttributeValues(values=[value_message(item, name) for item in values])


def _values(message: common_pb2.AttributeValues) -> Value | list[Value]:
    values = [value_of(value) for value in message.values]
    return values[0] if len(values) == 1 else values
