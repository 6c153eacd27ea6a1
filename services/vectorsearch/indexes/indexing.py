"""Which spaces are to have an approximate index, and keeping it fresh."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.vectorsearch import metrics
from services.vectorsearch.columns import Mask
from services.vectorsearch.indexes.approximate import ApproximateIndex, build
from services.vectorsearch.indexes.building import IndexBuilder, Key, Order, due
from services.vectorsearch.indexes.devices import Devices
from services.vectorsearch.indexes.kinds import Kind, Kinds, is_approximate
from services.vectorsearch.indexes.source import Source, Stretch
from services.vectorsearch.rows import CatalogRows
from services.vectorsearch.segment import Segment
from services.vectorsearch.shard import Shard

_GRACE = 1.25


@dataclass(frozen=True, slots=True)
class IndexState:
    """How a space is searched: the kind in use, its index if it has one, whether another is on its way."""

    kind: Kind
    index: ApproximateIndex | None
    building: bool


class Indexing:
    """Has indexes built and rebuilt as `kinds` says, and puts them into the rows of `shard`."""

    def __init__(self, shard: Shard, kinds: Kinds, devices: Devices | None = None) -> None:
        self._shard = shard
        self._kinds = kinds
        # Of the indexes of all rows: the builder's thread and the writer's change them.
        self._lock = threading.Lock()
        # The rows that an index was last ordered for: others may have taken their place since.
        self._ordered: dict[Key, weakref.ref[CatalogRows]] = {}
        self._builder = IndexBuilder(self._publish, build=partial(build, devices=devices))

    def look(self) -> None:
        """Order what is due, and drop what is not wanted any more. For the writer's thread."""
        held = {
            Key(catalog, generation, space): rows
            for catalog, generation, rows in self._shard.all_rows()
            for space in rows.spaces
        }
        self._give_up(held)
        for key, rows in held.items():
            self._look(key, rows)

    def states(self) -> dict[Key, IndexState]:
        """How every space is searched now."""
        states = {}
        for catalog, generation, rows in self._shard.all_rows():
            for space in rows.spaces:
                key = Key(catalog, generation, space)
                index = rows.indexes.get(space)
                kind = index.kind if index else self._kinds.precision_of(space)
                states[key] = IndexState(kind, index, self._builder.pending(key))
        return states

    def stop(self) -> None:
        """Build nothing more."""
        self._builder.stop()

    def _give_up(self, held: Mapping[Key, CatalogRows]) -> None:
        """Build nothing for rows that are not held any more."""
        gone = [
            key for key, ordered in self._ordered.items() if key not in held or ordered() is not held[key]
        ]
        for key in gone:
            self._builder.cancel(key)
            del self._ordered[key]
        if gone:
            with self._lock:
                self._count()

    def _look(self, key: Key, rows: CatalogRows) -> None:
        # Around a limit an index would come and go with every product: one that is there has some grace.
        index = rows.indexes.get(key.space)
        grace = _GRACE if index else 1.0
        # No space has more vectors than there are rows, so mostly there is nothing to count.
        if not is_approximate(self._kinds.kind_of(key.space, int(rows.row_count * grace))):
            self._drop(key, rows)
            return
        living = [(segment, _living(segment, key.space)) for segment in rows.segments]
        total = sum(int(np.count_nonzero(mask)) for _, mask in living)
        kind = self._kinds.kind_of(key.space, int(total * grace))
        if not is_approximate(kind):
            self._drop(key, rows)
            return
        if self._builder.pending(key):
            return
        end_row = index.end_row if index else 0
        within = sum(
            int(np.count_nonzero(mask[: max(0, end_row - segment.first_row)])) for segment, mask in living
        )
        dead = index.rows - within if index else 0
        if due(kind, index, tail_rows=total - within, dead_rows=dead):
            self._ordered[key] = weakref.ref(rows)
            self._builder.order(Order(key, kind, _source(living, key.space)))

    def _publish(self, order: Order, index: ApproximateIndex) -> None:
        rows = self._shard.rows(order.key.catalog, order.key.generation)
        ordered = self._ordered.get(order.key)
        if rows is not None and ordered is not None and ordered() is rows:
            with self._lock:
                # One that searches have in hand stays until they are done with it.
                rows.indexes = {**rows.indexes, order.key.space: index}
                self._count()

    def _drop(self, key: Key, rows: CatalogRows) -> None:
        self._builder.cancel(key)
        if key.space in rows.indexes:
            with self._lock:
                rows.indexes = {space: each for space, each in rows.indexes.items() if space != key.space}
                self._count()

    def _count(self) -> None:
        metrics.indexes(
            (space, index.kind, index.nbytes)
            for _, _, rows in self._shard.all_rows()
            for space, index in rows.indexes.items()
        )


def _living(segment: Segment, space: str) -> Mask:
    """Bool [size]: rows that are alive and have a vector in the space."""
    if space not in segment.matrices:
        return np.zeros(segment.size, dtype=np.bool_)
    living: Mask = segment.alive[: segment.size] & segment.present[space][: segment.size]
    return living


def _source(living: list[tuple[Segment, Mask]], space: str) -> Source:
    last = living[-1][0]
    return Source(
        tuple(
            Stretch(segment.first_row, np.flatnonzero(mask), segment.matrices[space])
            for segment, mask in living
            if mask.any()
        ),
        last.first_row + last.size,
    )
