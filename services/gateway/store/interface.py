"""What a store must do, whatever database is behind it.

The change log is the truth; `products` and their vectors are projections of it. Nothing here needs a
transaction over several documents: `append` inserts one document whose key is the head plus one, `apply` may
be done any number of times, by several gateways, in the order of the log. Whoever finds the projections
behind the log applies the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.mesh.buckets import bucket_of
from vitrine.v1 import catalog_pb2, common_pb2

ProductKey = tuple[str, str]
"""Catalogue id and product id."""

MAX_ENTRY_CHANGES = 256
# A document of MongoDB has 16 MB at most; a feed's frame 4 MiB.
MAX_ENTRY_BYTES = 8 << 20


class HeadMoved(Exception):
    """Somebody else has appended meanwhile: read the log again and retry."""


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What becomes of one product.

    `product` is a serialised Product without its revision and time, or None when it is deleted. `rows` holds
    a serialised ProductRows without attributes by generation, or is None when its photos stay as they are;
    rows of generations that it does not name stay too. `flagged` tells whether it has near duplicates.
    """

    catalog: str
    product_id: str
    product: bytes | None
    rows: Mapping[str, bytes] | None
    photo_count: int = 0
    flagged: bool = False

    @property
    def key(self) -> ProductKey:
        """Whom it is about."""
        return self.catalog, self.product_id

    @property
    def bucket(self) -> int:
        """The product's bucket, 0 to 1,023."""
        return bucket_of(self.catalog, self.product_id)

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes in the log."""
        return len(self.product or b"") + sum(map(len, (self.rows or {}).values())) + 256


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """A generation, and whether every product has its vectors."""

    generation: common_pb2.Generation
    is_ready: bool


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """A catalogue: the id of the active one of its generations, which are the oldest first.

    `revision` is that of the log entry that made it what it is. One that `is_deleting` is gone for callers
    and holds its id until its products are removed. `newest` is the number of the newest generation that it
    has ever had, 7 for g7: at least that of those it has.
    """

    catalog: str
    active: str
    generations: tuple[GenerationRecord, ...]
    create_time_ms: int
    is_deleting: bool = False
    revision: int = 0
    newest: int = 0

    def __post_init__(self) -> None:
        numbers = (int(each.generation.id.removeprefix("g")) for each in self.generations)
        object.__setattr__(self, "newest", max(self.newest, *numbers, 0))

    @property
    def generation(self) -> common_pb2.Generation:
        """The active generation."""
        return next(each.generation for each in self.generations if each.generation.id == self.active)

    def at(self, revision: int) -> CatalogRecord:
        """The same as of the entry `revision`."""
        return replace(self, revision=revision)


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What becomes of a catalogue: `record` without its revision, or None once nothing of it is left."""

    catalog: str
    record: CatalogRecord | None

    @property
    def size_bytes(self) -> int:
        """Roughly what it takes in the log."""
        generations = self.record.generations if self.record else ()
        return sum(each.generation.ByteSize() for each in generations) + 256


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: at most MAX_ENTRY_CHANGES changes, no product or catalogue twice.

    `outcomes` holds what the writes behind it answered, by request key, for callers who ask again.
    """

    revision: int
    time_ms: int
    changes: tuple[ProductChange, ...] = ()
    catalogs: tuple[CatalogChange, ...] = ()
    outcomes: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Roughly what its changes take in the log."""
        changes = sum(change.size_bytes for change in self.changes)
        return changes + sum(change.size_bytes for change in self.catalogs)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which part of the log there is: the entries after `floor` up to and including `head`."""

    floor: int
    head: int


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """A product as projected: a serialised Product, and serialised ProductRows by generation if asked for."""

    catalog: str
    product_id: str
    revision: int
    time_ms: int
    product: bytes
    rows: Mapping[str, bytes] = field(default_factory=dict)

    def message(self) -> catalog_pb2.Product:
        """As callers see it."""
        message = catalog_pb2.Product.FromString(self.product)
        message.revision = self.revision
        message.update_time.FromMilliseconds(self.time_ms)
        return message


@dataclass(frozen=True, slots=True)
class Counts:
    """What is in a catalogue."""

    products: int
    photos: int


class Store(Protocol):
    """A store. Every method raises Unavailable (STORE_UNAVAILABLE) when the database cannot be reached."""

    async def bounds(self) -> Bounds:
        """Which part of the log there is; (0, 0) for a new one."""

    async def applied(self) -> int:
        """The revision up to which the projections have surely been brought."""

    async def append(self, entry: Entry) -> None:
        """Add an entry at the head plus one, durable on return. Raises HeadMoved when its place is taken."""

    async def apply(self, entry: Entry) -> None:
        """Bring the projections to an entry. Harmless when done before, also after later entries."""

    async def entries(
        self, after: int, *, max_entries: int = 256, max_bytes: int = MAX_ENTRY_BYTES
    ) -> Sequence[Entry]:
        """The entries after a revision, without outcomes: one when there is any, more within `max_bytes`.

        Raises OutOfRange when the log no longer reaches back that far, or not that far yet.
        """

    async def changed(self, after: int, until: int, limit: int) -> Mapping[ProductKey, int]:
        """The last revision of each product that the entries after one and until another have changed.

        Raises OutOfRange when the log no longer reaches back that far, or there are more than `limit`.
        """

    async def trim(self, keep_entries: int) -> None:
        """Forget all but the last entries, with outcomes and tombstones as old; never what is not applied."""

    async def outcome(self, request_key: str) -> bytes | None:
        """What the write of that key answered."""

    async def revisions(self, keys: Collection[ProductKey]) -> Mapping[ProductKey, int]:
        """The revision of the last write of each product that exists."""

    async def catalog(self, catalog: str) -> CatalogRecord | None:
        """A catalogue, also one that is being deleted."""

    async def catalogs(self, after: str, limit: int, *, deleting: bool = False) -> Sequence[CatalogRecord]:
        """Catalogues by id, after one: those that live, or those that are being deleted."""

    async def counts(self, catalog: str) -> Counts:
        """What is in a catalogue."""

    async def covered(self, catalog: str, generation: str) -> int:
        """How many products of a catalogue have rows of a generation."""

    async def products(
        self, catalog: str, product_ids: Collection[str], *, with_rows: bool = False
    ) -> Mapping[str, StoredProduct]:
        """Those of the products that exist, by id."""

    async def list_products(
        self, catalog: str, after: str, limit: int, *, flagged_only: bool = False
    ) -> Sequence[StoredProduct]:
        """Products by id, after one."""

    async def lacking(self, catalog: str, generation: str, after: str, limit: int) -> Sequence[StoredProduct]:
        """Products without rows of a generation, by id, after one, with the rows that they have."""

    async def scan(
        self, buckets: Sequence[int], after: ProductKey | None, limit: int
    ) -> Sequence[StoredProduct]:
        """Products of some buckets with their vectors, by key, after one."""

    async def purge(self, catalog: str, keep: Collection[str], limit: int, *, at: int) -> int:
        """Remove rows of a catalogue that are of other generations than `keep`: how many, `limit` at most.

        None are removed unless the catalogue's record is of the revision `at`, so that whoever has been
        overtaken removes nothing that is of use by now. Rows of a product that is written at that moment
        count, and may stay for the next time.
        """

    async def lease(self, name: str, holder: str, ttl_s: float) -> bool:
        """Take or prolong the right to do a job that one process alone should do; whether `holder` has it."""

    async def close(self) -> None:
        """Let go of the database."""
