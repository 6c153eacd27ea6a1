"""A shard: the rows of every catalogue, and the rules of who may read and write them.

State rule. One writer at a time (the thread of the follower) calls what changes anything: `apply`,
`retain`, `compact`; it alone may also read without a lock (`freeze`). Everyone else reads under `reading`,
within which nothing changes. A search takes a view there and reads on without the lock, so it holds writes up
for a moment only; writes hold searches up for a few changes at a time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from services.mesh.errors import VitrineError
from services.vectorsearch.changes import Change, Deleted, Described, Retained, Written
from services.vectorsearch.first_pass import Precision
from services.vectorsearch.lock import SharedLock
from services.vectorsearch.rows import SEGMENT_ROWS, CatalogRows, Space
from services.vectorsearch.segment import Segment
from services.vectorsearch.storage import freezing
from services.vectorsearch.storage.freezing import FrozenRows

# What is done under one holding of the lock: some milliseconds.
_APPLIED_AT_ONCE = 16
_DROPPED_AT_ONCE = 256
_COMPACTED_AT_ONCE = 32

# Products that compaction moves whenever changes were applied: a few, and more with every change.
_MOVES_AT_LEAST = 32
_MOVES_A_CHANGE = 4


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that could not be applied, and why. What was held of the product stays."""

    catalog: str
    product_id: str
    revision: int
    error: VitrineError


@dataclass(frozen=True, slots=True)
class Compacted:
    """Segments that were emptied, and the rows that were moved out of them."""

    segments: int
    rows: int


@dataclass(frozen=True, slots=True)
class GenerationSize:
    """What a shard holds of one generation of a catalogue."""

    catalog: str
    generation: str
    products: int
    rows: int
    dead_rows: int
    segments: int
    live_bytes: int
    memory_bytes: int
    spaces: Mapping[str, Space]


@dataclass(frozen=True, slots=True)
class FrozenShard:
    """The state of a shard for a snapshot, which later changes do not touch."""

    revision: int
    # (catalogue, generation, rows)
    catalogs: list[tuple[str, str, FrozenRows]]


class Shard:
    """Rows by catalogue and generation, and the revision of the change log that they reflect."""

    def __init__(
        self,
        *,
        segment_rows: int = SEGMENT_ROWS,
        precision_of: Callable[[str], Precision] = lambda _space: "flat16",
        on_compacted: Callable[[], None] = lambda: None,
    ) -> None:
        """`precision_of` tells in what precision the rows of a space are read first.

        `on_compacted` is called by the writer for each segment that was emptied.
        """
        self.revision = 0
        self._segment_rows = segment_rows
        self._precision_of = precision_of
        self._on_compacted = on_compacted
        self._lock = SharedLock()
        self._catalogs: dict[str, dict[str, CatalogRows]] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let nothing change inside."""
        with self._lock.shared():
            yield

    def rows(self, catalog: str, generation: str) -> CatalogRows | None:
        """The rows of a catalogue in a generation, or None when there are none."""
        return self._catalogs.get(catalog, {}).get(generation)

    def all_rows(self) -> list[tuple[str, str, CatalogRows]]:
        """Catalogue, generation and rows of all that there are."""
        return [
            (catalog, generation, rows)
            for catalog, generations in list(self._catalogs.items())
            for generation, rows in list(generations.items())
        ]

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
        for start in range(0, len(changes), _APPLIED_AT_ONCE):
            with self._lock.exclusive():
                for change in changes[start : start + _APPLIED_AT_ONCE]:
                    if isinstance(change, Retained):
                        self._retain(change)
                        continue
                    try:
                        self._apply(change, anew=anew)
                    except VitrineError as error:
                        refused.append(Refusal(change.catalog, change.product_id, change.revision, error))
        if revision is not None:
            with self._lock.exclusive():
                self.revision = max(self.revision, revision)
        self._settle(len(changes))
        return refused

    def retain(self, seen: Iterable[tuple[str, str, str]], *, revision: int, anew: bool = False) -> None:
        """End a scan: reflect its `revision`; drop products not among `seen`.

        These are catalogue, generation and product. Products written after `revision` stay, unless `anew`.
        Generations that nothing is left of go.
        """
        kept: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for catalog, generation, product_id in seen:
            kept[catalog, generation].add(product_id)
        dropped = 0
        for catalog, generation, rows in self.all_rows():
            gone = [
                product_id
                for product_id in rows.missing_from(kept[catalog, generation])
                if anew or rows.products[product_id].revision <= revision
            ]
            dropped += len(gone)
            for start in range(0, len(gone), _DROPPED_AT_ONCE):
                with self._lock.exclusive():
                    for product_id in gone[start : start + _DROPPED_AT_ONCE]:
                        rows.delete(product_id)
            if not rows.products:
                with self._lock.exclusive():
                    self._drop(catalog, {generation})
        with self._lock.exclusive():
            self.revision = revision if anew else max(self.revision, revision)
        self._settle(dropped)

    def compact(self) -> Compacted:
        """Empty every full segment that has a dead row."""
        segments = moved = 0
        for rows in self._all():
            # Those that are sparse now, and not until none is: products with more photos than half a segment
            # could be moved round for ever.
            for segment in rows.sparse(0.0):
                moved += segment.live
                while not self._compact(rows, segment):
                    # Or what is moved would be read at full precision for as long as it lasts.
                    rows.pack()
                segments += 1
            rows.pack()
        return Compacted(segments, moved)

    def sizes(self) -> list[GenerationSize]:
        """What is held, by catalogue and generation. To be read under `reading` or by the writer."""
        return [
            GenerationSize(
                catalog,
                generation,
                len(rows.products),
                rows.row_count,
                rows.dead_rows,
                len(rows.segments),
                rows.live_bytes,
                rows.memory_bytes,
                dict(rows.spaces),
            )
            for catalog, generations in sorted(self._catalogs.items())
            for generation, rows in sorted(generations.items())
        ]

    def freeze(self) -> FrozenShard:
        """The present state for a snapshot. For the writer only."""
        return FrozenShard(
            self.revision,
            [
                (catalog, generation, freezing.freeze(rows))
                for catalog, generations in self._catalogs.items()
                for generation, rows in generations.items()
            ],
        )

    def thaw(self, frozen: FrozenShard) -> None:
        """Become the shard that a snapshot has. For a new one, before anyone reads it."""
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="pack") as packers:
            for catalog, generation, frozen_rows in frozen.catalogs:
                rows = CatalogRows(segment_rows=self._segment_rows, precision_of=self._precision_of)
                freezing.thaw(frozen_rows, rows)
                rows.pack(packers)
                self._catalogs.setdefault(catalog, {})[generation] = rows
        self.revision = frozen.revision

    def _retain(self, change: Retained) -> None:
        """Drop generations that a catalogue does not have any more.

        Done again later than it was sent, it may drop newer ones too: their products were written after it,
        so they come again with what follows it.
        """
        held = self._catalogs.get(change.catalog, {})
        self._drop(change.catalog, held.keys() - change.generations)

    def _drop(self, catalog: str, generations: AbstractSet[str]) -> None:
        """Hold nothing of these generations; searches that have them in hand end with what they see."""
        kept = {
            generation: rows
            for generation, rows in self._catalogs.get(catalog, {}).items()
            if generation not in generations
        }
        if kept:
            self._catalogs[catalog] = kept
        else:
            self._catalogs.pop(catalog, None)

    def _apply(self, change: Written | Described | Deleted, *, anew: bool) -> None:
        generations = self._catalogs.get(change.catalog, {})
        if isinstance(change, Written) and change.generation not in generations:
            generations[change.generation] = CatalogRows(
                segment_rows=self._segment_rows, precision_of=self._precision_of
            )
            self._catalogs[change.catalog] = generations
        for generation, rows in generations.items():
            product = rows.products.get(change.product_id)
            if product is not None and change.revision < product.revision and not anew:
                continue
            match change:
                case Written() if change.generation == generation:
                    rows.write(change.product_id, change.revision, change.photos, change.facts)
                case Written() | Described() if product is not None:
                    rows.describe(change.product_id, change.revision, change.facts)
                case Deleted() if product is not None:
                    rows.delete(change.product_id)

    def _settle(self, changes: int) -> None:
        """What is put off until changes are applied, and done while searches go on.

        A row that died makes three others move at most, so compaction keeps up with what it has to do when it
        does a little more with every change, and never holds the feed up for long.
        """
        for rows in self._all():
            moves = _MOVES_AT_LEAST + _MOVES_A_CHANGE * changes
            for segment in rows.sparse():
                while moves > 0 and not self._compact(rows, segment):
                    moves -= _COMPACTED_AT_ONCE
            rows.pack()

    def _compact(self, rows: CatalogRows, segment: Segment) -> bool:
        with self._lock.exclusive():
            emptied = rows.compact(segment, _COMPACTED_AT_ONCE)
        if emptied:
            self._on_compacted()
        return emptied

    def _all(self) -> list[CatalogRows]:
        return [rows for _, _, rows in self.all_rows()]
