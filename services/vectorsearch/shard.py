"""A shard: the rows of every catalogue, and the rules of who may read and write them.

State rule. One writer at a time (the thread of the follower) calls what changes anything: `apply`,
`retain`; it alone may also read without a lock (`freeze`). Everyone else reads under `reading`, within
which nothing changes, so an answer is of one state and of one `revision`. A write of a batch of changes
holds readers off for the copying of its vectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.mesh.errors import VitrineError
from services.vectorsearch.changes import Change, Deleted, Described, Written
from services.vectorsearch.lock import SharedLock
from services.vectorsearch.rows import SEGMENT_ROWS, CatalogRows, FrozenRows

# Products moved by compaction under one holding of the lock.
_COMPACTED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that could not be applied, and why. What was held of the product stays."""

    catalog: str
    product_id: str
    revision: int
    error: VitrineError


@dataclass(frozen=True, slots=True)
class CatalogSize:
    """What a shard holds of one catalogue, over all generations."""

    catalog: str
    products: int
    rows: int
    vector_bytes: int


@dataclass(frozen=True, slots=True)
class FrozenShard:
    """The state of a shard for a snapshot, which later changes do not touch."""

    revision: int
    # (catalogue, generation, rows)
    catalogs: list[tuple[str, str, FrozenRows]]


class Shard:
    """Rows by catalogue and generation, and the revision of the change log that they reflect."""

    def __init__(self, *, segment_rows: int = SEGMENT_ROWS) -> None:
        self.revision = 0
        self._segment_rows = segment_rows
        self._lock = SharedLock()
        self._catalogs: dict[str, dict[str, CatalogRows]] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let nothing change inside."""
        with self._lock.shared():
            yield

    def rows(self, catalog: str, generation: str) -> CatalogRows | None:
        """The rows of a catalogue in a generation, or None when there never were any."""
        return self._catalogs.get(catalog, {}).get(generation)

    def holds_other_generation(self, catalog: str, generation: str) -> bool:
        """Whether there are products of the catalogue in other generations than this one."""
        return any(
            rows.products for name, rows in self._catalogs.get(catalog, {}).items() if name != generation
        )

    def apply(
        self, changes: Sequence[Change], *, revision: int | None = None, anew: bool = False
    ) -> list[Refusal]:
        """Apply changes in order, then reflect `revision`, if given and later; those that were refused.

        A change older than what is held of its product does nothing, so replays are harmless. `anew`
        applies them whatever their age: the log was replaced by another one.
        """
        refused = []
        with self._lock.exclusive():
            for change in changes:
                try:
                    self._apply(change, anew=anew)
                except VitrineError as error:
                    refused.append(Refusal(change.catalog, change.product_id, change.revision, error))
            if revision is not None:
                self.revision = max(self.revision, revision)
        self._compact()
        return refused

    def retain(self, seen: Iterable[tuple[str, str]], *, revision: int, anew: bool = False) -> None:
        """End a scan: reflect its `revision`; drop products not among `seen`, pairs of catalogue and product.

        Products written after `revision` stay, unless `anew`.
        """
        kept: defaultdict[str, set[str]] = defaultdict(set)
        for catalog, product_id in seen:
            kept[catalog].add(product_id)
        with self._lock.exclusive():
            for catalog, rows in self._all():
                for product_id in rows.missing_from(kept[catalog]):
                    if anew or rows.products[product_id].revision <= revision:
                        rows.delete(product_id)
            self.revision = revision if anew else max(self.revision, revision)
        self._compact()

    def sizes(self) -> list[CatalogSize]:
        """What is held, by catalogue. To be read under `reading` or by the writer."""
        return [
            CatalogSize(
                catalog,
                max(len(rows.products) for rows in generations.values()),
                sum(rows.row_count for rows in generations.values()),
                sum(rows.vector_bytes for rows in generations.values()),
            )
            for catalog, generations in sorted(self._catalogs.items())
        ]

    def freeze(self) -> FrozenShard:
        """The present state for a snapshot. For the writer only."""
        return FrozenShard(
            self.revision,
            [
                (catalog, generation, rows.freeze())
                for catalog, generations in self._catalogs.items()
                for generation, rows in generations.items()
            ],
        )

    @classmethod
    def thaw(cls, frozen: FrozenShard) -> Shard:
        """The shard that was frozen."""
        shard = cls()
        shard.revision = frozen.revision
        for catalog, generation, rows in frozen.catalogs:
            shard._catalogs.setdefault(catalog, {})[generation] = CatalogRows.thaw(rows)
        return shard

    def _apply(self, change: Change, *, anew: bool) -> None:
        generations = self._catalogs.get(change.catalog, {})
        if isinstance(change, Written) and change.generation not in generations:
            generations[change.generation] = CatalogRows(segment_rows=self._segment_rows)
            self._catalogs[change.catalog] = generations
        for generation, rows in generations.items():
            product = rows.products.get(change.product_id)
            if product is not None and change.revision < product.revision and not anew:
                continue
            match change:
                case Written() if change.generation == generation:
                    rows.write(change.product_id, change.revision, change.photos, change.facts)
                case Described() if product is not None:
                    rows.describe(change.product_id, change.revision, change.facts)
                case Deleted() if product is not None:
                    rows.delete(change.product_id)

    def _compact(self) -> None:
        for _, rows in self._all():
            # Those that are sparse now, and not until none is: products with more photos than half a segment
            # could be moved round for ever.
            for segment in rows.sparse:
                gone = False
                while not gone:
                    with self._lock.exclusive():
                        gone = rows.compact(segment, _COMPACTED_AT_ONCE)

    def _all(self) -> list[tuple[str, CatalogRows]]:
        return [
            (catalog, rows)
            for catalog, generations in self._catalogs.items()
            for rows in generations.values()
        ]
