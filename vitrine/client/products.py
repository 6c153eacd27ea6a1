"""Products and photos as plain values, and their messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from services.mesh import names, status
from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.client.batches import Cutter
from vitrine.client.filters import Value, value_message, value_of
from vitrine.client.moments import moment_of
from vitrine.v1 import catalog_pb2, common_pb2

# The largest picture that the embedder takes by default; larger ones are refused before they are sent.
MAX_PHOTO_BYTES = 20 << 20
# What of products goes into one call: few enough to be embedded well within its deadline, and bytes that
# leave room for the rest below the message limit.
BATCH_PRODUCTS = 64
MAX_BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class Photo:
    """A photo of a product: `content` or `uri`, from where it is fetched, and an `id` on the way in.

    On the way out there is everything but the content; `uri` only where it was given as an address.
    """

    content: bytes = field(default=b"", repr=False)
    id: str = ""
    digest: str = ""
    media_path: str = ""
    width: int = 0
    height: int = 0
    uri: str = ""

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
class NearDuplicate:
    """Another product whose photo is the same, or nearly so; `cosine` is 1 for the same file."""

    product: str
    photo_id: str
    other_photo_id: str
    cosine: float


@dataclass(frozen=True)
class Product:
    """A product.

    An attribute is one value or several; `labels`, `revision`, `updated` and `near_duplicates` are the
    server's. `etag` names what was read: a write that has one is refused where it is not the product's.
    """

    id: str
    title: str = ""
    description: str = ""
    attributes: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)
    photos: Sequence[Photo] = ()
    labels: Sequence[Label] = ()
    revision: int = 0
    updated: datetime | None = None
    etag: str = ""
    near_duplicates: Sequence[NearDuplicate] = ()


@dataclass(frozen=True)
class UpsertOutcome:
    """What became of one product: `error` when it was refused, `photo_errors` by index when photos were."""

    product: str
    unchanged: bool
    error: VitrineError | None
    photo_errors: Mapping[int, VitrineError]
    etag: str = ""
    near_duplicates: Sequence[NearDuplicate] = ()


@dataclass(frozen=True)
class UpsertReport:
    """One outcome a product, in order, and the revision that sees all writes (a `min_revision`)."""

    outcomes: Sequence[UpsertOutcome]
    revision: int

    @classmethod
    def of(cls, reports: Iterable[UpsertReport]) -> UpsertReport:
        """One report of all calls."""
        outcomes: list[UpsertOutcome] = []
        revision = 0
        for report in reports:
            outcomes += report.outcomes
            # Calls that overlap need not end in their order.
            revision = max(revision, report.revision)
        return cls(tuple(outcomes), revision)


@dataclass(frozen=True)
class Written:
    """A product as it was written, and by their index the photos that could not be read."""

    product: Product
    photo_errors: Mapping[int, VitrineError]


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

    Photos that are as they were read are kept by giving none; raises InvalidArgument when some of them can be
    given and others not, or for a bad id or attribute value.
    """
    names.check_product_id(product.id, "product.id")
    is_new = any(photo.content or (photo.uri and not photo.digest) for photo in product.photos)
    given = [_photo_message(index, photo) for index, photo in enumerate(product.photos)] if is_new else []
    return catalog_pb2.Product(
        name=names.product_name(catalog, product.id),
        title=product.title,
        description=product.description,
        photos=given,
        attributes={name: _values_message(name, value) for name, value in product.attributes.items()},
        etag=product.etag,
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
                uri=photo.uri,
            )
            for photo in message.photos
        ),
        labels=labels_of(message.labels),
        revision=message.revision,
        updated=moment_of(message, "update_time"),
        etag=message.etag,
        near_duplicates=_near_duplicates(message.near_duplicates),
    )


def labels_of(messages: Iterable[common_pb2.Label]) -> tuple[Label, ...]:
    """The labels in messages."""
    return tuple(Label(label.name, label.value, label.probability) for label in messages)


def outcome_of(message: catalog_pb2.UpsertResult) -> UpsertOutcome:
    """The outcome in a message."""
    failed = message.HasField("status") and message.status.code != 0
    return UpsertOutcome(
        product=message.product.rpartition("/")[2],
        unchanged=message.unchanged,
        error=status.from_item(message.status) if failed else None,
        photo_errors=_photo_errors(message.photo_problems),
        etag=message.etag,
        near_duplicates=_near_duplicates(message.near_duplicates),
    )


def written_of(message: catalog_pb2.CreateProductResponse | catalog_pb2.UpdateProductResponse) -> Written:
    """What was written, in a message."""
    return Written(product_of(message.product), _photo_errors(message.photo_problems))


def _photo_message(index: int, photo: Photo) -> catalog_pb2.Photo:
    if photo.content:
        image = common_pb2.Image(content=photo.content)
    elif photo.uri:
        image = common_pb2.Image(uri=photo.uri)
    else:
        raise InvalidArgument(
            f"product.photos[{index}]",
            "has neither content nor address: give those of all photos, or of none to keep those there are",
        )
    return catalog_pb2.Photo(id=photo.id, image=image)


def _photo_errors(messages: Iterable[catalog_pb2.PhotoProblem]) -> dict[int, VitrineError]:
    return {problem.index: status.from_item(problem.status) for problem in messages}


def _near_duplicates(messages: Iterable[catalog_pb2.NearDuplicate]) -> tuple[NearDuplicate, ...]:
    return tuple(
        NearDuplicate(
            message.product.rpartition("/")[2], message.photo_id, message.other_photo_id, message.cosine
        )
        for message in messages
    )


def batch_cutter() -> Cutter[catalog_pb2.Product]:
    """Cuts products into batches that one BatchUpsertProducts call takes."""
    return Cutter(
        key=lambda message: message.name,
        max_items=BATCH_PRODUCTS,
        weight=lambda message: message.ByteSize(),
        max_weight=MAX_BATCH_BYTES,
    )


def _values_message(name: str, value: Value | Sequence[Value]) -> common_pb2.AttributeValues:
    values = [value] if isinstance(value, str | bool | int | float) else value
    return common_pb2.AttributeValues(values=[value_message(item, name) for item in values])


def _values(message: common_pb2.AttributeValues) -> Value | list[Value]:
    values = [value_of(value) for value in message.values]
    return values[0] if len(values) == 1 else values
