"""The store in a SQLite database."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.gateway.store import records
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import (
    MAX_ENTRY_BYTES,
    Bounds,
    CatalogChange,
    CatalogRecord,
    Counts,
    Entry,
    HeadMoved,
    ProductChange,
    ProductKey,
    StoredProduct,
)
from services.gateway.store.schema import (
    CATALOG_CHANGES,
    CATALOGS,
    CHANGE_ROWS,
    CHANGES,
    ENTRIES,
    LEASES,
    MARKS,
    OUTCOMES,
    PRODUCTS,
    VECTORS,
)
from services.mesh.errors import OutOfRange

# Well below SQLite's limit of 32,766 variables a statement.
MAX_KEYS_A_STATEMENT = 500

_LIVING = PRODUCTS.c.product.is_not(None)


class SqliteStore:
    """A `Store` in a database, which it closes."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def close(self) -> None:
        """See Store."""
        await self._database.close()

    async def bounds(self) -> Bounds:
        """See Store."""
        return await self._database.read(_bounds)

    async def applied(self) -> int:
        """See Store."""
        return await self._database.read(lambda connection: _mark(connection, "applied"))

    async def append(self, entry: Entry) -> None:
        """See Store."""
        await self._database.write(lambda connection: _append(connection, entry))

    async def apply(self, entry: Entry) -> None:
        """See Store."""
        await self._database.write(lambda connection: _apply(connection, entry))

    async def entries(
        self, after: int, *, max_entries: int = 256, max_bytes: int = MAX_ENTRY_BYTES
    ) -> Sequence[Entry]:
        """See Store."""
        return await self._database.read(
            lambda connection: _entries(connection, after, max_entries, max_bytes)
        )

    async def changed(self, after: int, until: int, limit: int) -> Mapping[ProductKey, int]:
        """See Store."""
        return await self._database.read(lambda connection: _changed(connection, after, until, limit))

    async def trim(self, keep_entries: int) -> None:
        """See Store."""
        await self._database.write(lambda connection: _trim(connection, keep_entries))

    async def outcome(self, request_key: str) -> bytes | None:
        """See Store."""
        query = sa.select(OUTCOMES.c.outcome).where(OUTCOMES.c.request_key == request_key)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def revisions(self, keys: Collection[ProductKey]) -> Mapping[ProductKey, int]:
        """See Store."""
        return await self._database.read(lambda connection: _revisions(connection, list(keys)))

    async def catalog(self, catalog: str) -> CatalogRecord | None:
        """See Store."""
        query = sa.select(CATALOGS).where(CATALOGS.c.catalog == catalog, CATALOGS.c.record.is_not(None))
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _record(row)

    async def catalogs(self, after: str, limit: int, *, deleting: bool = False) -> Sequence[CatalogRecord]:
        """See Store."""
        query = (
            sa.select(CATALOGS)
            .where(
                CATALOGS.c.catalog > after,
                CATALOGS.c.record.is_not(None),
                CATALOGS.c.is_deleting.is_(deleting),
            )
            .order_by(CATALOGS.c.catalog)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def counts(self, catalog: str) -> Counts:
        """See Store."""
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(PRODUCTS.c.photo_count), 0)).where(
            PRODUCTS.c.catalog == catalog, PRODUCTS.c.product.is_not(None)
        )
        products, photos = await self._database.read(lambda connection: connection.execute(query).one())
        return Counts(products, photos)

    async def covered(self, catalog: str, generation: str) -> int:
        """See Store."""
        # A deletion takes the rows of every generation away, so whatever has rows exists.
        query = sa.select(sa.func.count()).where(
            VECTORS.c.catalog == catalog, VECTORS.c.generation == generation, VECTORS.c.rows.is_not(None)
        )
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def products(
        self, catalog: str, product_ids: Collection[str], *, with_rows: bool = False
    ) -> Mapping[str, StoredProduct]:
        """See Store."""
        return await self._database.read(
            lambda connection: _products(connection, catalog, list(product_ids), with_rows=with_rows)
        )

    async def list_products(
        self, catalog: str, after: str, limit: int, *, flagged_only: bool = False
    ) -> Sequence[StoredProduct]:
        """See Store."""
        query = _page(limit).where(PRODUCTS.c.catalog == catalog, PRODUCTS.c.product_id > after)
        if flagged_only:
            query = query.where(PRODUCTS.c.flagged)
        return await self._database.read(lambda connection: _stored(connection.execute(query)))

    async def lacking(self, catalog: str, generation: str, after: str, limit: int) -> Sequence[StoredProduct]:
        """See Store."""
        there = sa.exists().where(
            VECTORS.c.catalog == catalog,
            VECTORS.c.generation == generation,
            VECTORS.c.product_id == PRODUCTS.c.product_id,
            VECTORS.c.rows.is_not(None),
        )
        query = _page(limit).where(PRODUCTS.c.catalog == catalog, PRODUCTS.c.product_id > after, ~there)
        return await self._database.read(lambda connection: _stored(connection.execute(_with_rows(query))))

    async def scan(
        self, buckets: Sequence[int], after: ProductKey | None, limit: int
    ) -> Sequence[StoredProduct]:
        """See Store."""
        query = _page(limit).where(PRODUCTS.c.bucket.in_(buckets))
        # The primary key gives the order, so that a page costs what it holds.
        if after is not None:
            query = query.where(sa.tuple_(PRODUCTS.c.catalog, PRODUCTS.c.product_id) > after)
        return await self._database.read(lambda connection: _stored(connection.execute(_with_rows(query))))

    async def purge(self, catalog: str, keep: Collection[str], limit: int, *, at: int) -> int:
        """See Store."""
        return await self._database.write(lambda connection: _purge(connection, catalog, keep, limit, at))

    async def lease(self, name: str, holder: str, ttl_s: float) -> bool:
        """See Store."""
        now_ms = time.time_ns() // 1_000_000
        statement = insert(LEASES).values(name=name, holder=holder, until_ms=now_ms + round(ttl_s * 1000))
        statement = statement.on_conflict_do_update(
            index_elements=[LEASES.c.name],
            set_={"holder": statement.excluded.holder, "until_ms": statement.excluded.until_ms},
            where=(LEASES.c.holder == holder) | (LEASES.c.until_ms <= now_ms),
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)


def _mark(connection: sa.Connection, name: str) -> int:
    return connection.scalar(sa.select(MARKS.c.revision).where(MARKS.c.name == name)) or 0


def _set_mark(connection: sa.Connection, name: str, revision: int) -> None:
    statement = insert(MARKS).values(name=name, revision=revision)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[MARKS.c.name],
            set_={"revision": revision},
            where=MARKS.c.revision < revision,
        )
    )


def _bounds(connection: sa.Connection) -> Bounds:
    floor = _mark(connection, "floor")
    return Bounds(floor, connection.scalar(sa.select(sa.func.max(ENTRIES.c.revision))) or floor)


def _append(connection: sa.Connection, entry: Entry) -> None:
    if _bounds(connection).head + 1 != entry.revision:
        raise HeadMoved
    connection.execute(
        sa.insert(ENTRIES).values(
            revision=entry.revision,
            time_ms=entry.time_ms,
            size_bytes=entry.size_bytes,
        )
    )
    if entry.changes:
        connection.execute(
            sa.insert(CHANGES),
            [
                {
                    "revision": entry.revision,
                    "position": position,
                    "catalog": change.catalog,
                    "product_id": change.product_id,
                    "product": change.product,
                    "photo_count": change.photo_count,
                    "flagged": change.flagged,
                }
                for position, change in enumerate(entry.changes)
            ],
        )
    if written := [
        {"revision": entry.revision, "position": position, "generation": generation, "rows": rows}
        for position, change in enumerate(entry.changes)
        for generation, rows in (change.rows or {}).items()
    ]:
        connection.execute(sa.insert(CHANGE_ROWS), written)
    if entry.catalogs:
        connection.execute(
            sa.insert(CATALOG_CHANGES),
            [
                {"revision": entry.revision, "position": position, **_stated(change)}
                for position, change in enumerate(entry.catalogs)
            ],
        )
    if entry.outcomes:
        connection.execute(
            sa.insert(OUTCOMES),
            [
                {"request_key": key, "revision": entry.revision, "outcome": outcome}
                for key, outcome in entry.outcomes.items()
            ],
        )


def _apply(connection: sa.Connection, entry: Entry) -> None:
    # The tombstones that an entry this old would have to find are gone.
    if entry.revision <= _mark(connection, "floor"):
        return
    if entry.catalogs:
        statement = insert(CATALOGS)
        statement = statement.on_conflict_do_update(
            index_elements=[CATALOGS.c.catalog],
            set_={name: statement.excluded[name] for name in ("revision", "record", "is_deleting")},
            where=CATALOGS.c.revision < statement.excluded.revision,
        )
        connection.execute(
            statement, [{"revision": entry.revision, **_stated(change)} for change in entry.catalogs]
        )
    if entry.changes:
        _apply_products(connection, entry)
    _set_mark(connection, "applied", entry.revision)


def _apply_products(connection: sa.Connection, entry: Entry) -> None:
    product = insert(PRODUCTS)
    product = product.on_conflict_do_update(
        index_elements=[PRODUCTS.c.catalog, PRODUCTS.c.product_id],
        set_={
            name: product.excluded[name]
            for name in ("revision", "time_ms", "photo_count", "product", "flagged")
        },
        where=PRODUCTS.c.revision < product.excluded.revision,
    )
    connection.execute(
        product,
        [
            {
                "catalog": change.catalog,
                "product_id": change.product_id,
                "bucket": change.bucket,
                "revision": entry.revision,
                "time_ms": entry.time_ms,
                "photo_count": change.photo_count,
                "product": change.product,
                "flagged": change.flagged,
            }
            for change in entry.changes
        ],
    )
    vectors = insert(VECTORS)
    vectors = vectors.on_conflict_do_update(
        index_elements=[VECTORS.c.catalog, VECTORS.c.product_id, VECTORS.c.generation],
        set_={name: vectors.excluded[name] for name in ("revision", "rows")},
        where=VECTORS.c.revision < vectors.excluded.revision,
    )
    if written := [
        {
            "catalog": change.catalog,
            "product_id": change.product_id,
            "generation": generation,
            "revision": entry.revision,
            "rows": rows,
        }
        for change in entry.changes
        for generation, rows in (change.rows or {}).items()
    ]:
        connection.execute(vectors, written)
    # Rows of a deleted product leave tombstones, so that an older entry does not bring them back.
    if deleted := [change for change in entry.changes if change.product is None]:
        connection.execute(
            sa.update(VECTORS)
            .where(
                VECTORS.c.catalog == sa.bindparam("of"),
                VECTORS.c.product_id == sa.bindparam("id"),
                VECTORS.c.revision < entry.revision,
            )
            .values(rows=None, revision=entry.revision),
            [{"of": change.catalog, "id": change.product_id} for change in deleted],
        )


def _entries(connection: sa.Connection, after: int, max_entries: int, max_bytes: int) -> list[Entry]:
    bounds = _bounds(connection)
    if not bounds.floor <= after <= bounds.head:
        raise OutOfRange(f"the log reaches from {bounds.floor} to {bounds.head}, not to {after}")
    headers = connection.execute(
        sa.select(ENTRIES).where(ENTRIES.c.revision > after).order_by(ENTRIES.c.revision).limit(max_entries)
    ).all()
    times_ms: dict[int, int] = {}
    size_bytes = 0
    for header in headers:
        size_bytes += header.size_bytes
        if times_ms and size_bytes > max_bytes:
            break
        times_ms[header.revision] = header.time_ms
    if not times_ms:
        return []
    first, last = min(times_ms), max(times_ms)
    changes = _logged_changes(connection, first, last)
    catalogs = _logged_catalogs(connection, first, last)
    return [
        Entry(revision, time_ms, tuple(changes.get(revision, ())), tuple(catalogs.get(revision, ())))
        for revision, time_ms in times_ms.items()
    ]


def _changed(connection: sa.Connection, after: int, until: int, limit: int) -> dict[ProductKey, int]:
    floor = _mark(connection, "floor")
    if after < floor:
        raise OutOfRange(f"the log reaches back to {floor}, not to {after}")
    rows = connection.execute(
        sa.select(CHANGES.c.catalog, CHANGES.c.product_id, sa.func.max(CHANGES.c.revision).label("revision"))
        .where(CHANGES.c.revision > after, CHANGES.c.revision <= until)
        .group_by(CHANGES.c.catalog, CHANGES.c.product_id)
        .limit(limit + 1)
    ).all()
    if len(rows) > limit:
        raise OutOfRange(f"more than {limit} products changed after {after}")
    return {(row.catalog, row.product_id): row.revision for row in rows}


def _logged_changes(connection: sa.Connection, first: int, last: int) -> dict[int, list[ProductChange]]:
    rows: dict[tuple[int, int], dict[str, bytes]] = {}
    for row in connection.execute(sa.select(CHANGE_ROWS).where(CHANGE_ROWS.c.revision.between(first, last))):
        rows.setdefault((row.revision, row.position), {})[row.generation] = row.rows
    changes: dict[int, list[ProductChange]] = {}
    for row in connection.execute(
        sa.select(CHANGES)
        .where(CHANGES.c.revision.between(first, last))
        .order_by(CHANGES.c.revision, CHANGES.c.position)
    ):
        changes.setdefault(row.revision, []).append(
            ProductChange(
                row.catalog,
                row.product_id,
                row.product,
                rows.get((row.revision, row.position)),
                row.photo_count,
                row.flagged,
            )
        )
    return changes


def _logged_catalogs(connection: sa.Connection, first: int, last: int) -> dict[int, list[CatalogChange]]:
    catalogs: dict[int, list[CatalogChange]] = {}
    for row in connection.execute(
        sa.select(CATALOG_CHANGES)
        .where(CATALOG_CHANGES.c.revision.between(first, last))
        .order_by(CATALOG_CHANGES.c.revision, CATALOG_CHANGES.c.position)
    ):
        record = (
            None
            if row.record is None
            else records.decode(row.catalog, row.record, is_deleting=row.is_deleting)
        )
        catalogs.setdefault(row.revision, []).append(CatalogChange(row.catalog, record))
    return catalogs


def _trim(connection: sa.Connection, keep_entries: int) -> None:
    floor = min(_bounds(connection).head - keep_entries, _mark(connection, "applied"))
    if floor <= _mark(connection, "floor"):
        return
    _set_mark(connection, "floor", floor)
    for table in (ENTRIES, CHANGES, CHANGE_ROWS, CATALOG_CHANGES, OUTCOMES):
        connection.execute(sa.delete(table).where(table.c.revision <= floor))
    # No entry that is older than these tombstones can be applied any more.
    for content in (PRODUCTS.c.product, VECTORS.c.rows, CATALOGS.c.record):
        table = content.table
        connection.execute(sa.delete(table).where(content.is_(None), table.c.revision <= floor))


def _purge(connection: sa.Connection, catalog: str, keep: Collection[str], limit: int, at: int) -> int:
    # In the same transaction, so that the record is this one until the rows are gone.
    if at != connection.scalar(
        sa.select(CATALOGS.c.revision).where(CATALOGS.c.catalog == catalog, CATALOGS.c.record.is_not(None))
    ):
        return 0
    rowid: sa.ColumnClause[int] = sa.literal_column("rowid")
    some = (
        sa.select(rowid)
        .select_from(VECTORS)
        .where(VECTORS.c.catalog == catalog, VECTORS.c.generation.not_in(keep), VECTORS.c.rows.is_not(None))
        .limit(limit)
    )
    return connection.execute(sa.update(VECTORS).where(rowid.in_(some)).values(rows=None)).rowcount


def _revisions(connection: sa.Connection, keys: list[ProductKey]) -> dict[ProductKey, int]:
    found: dict[ProductKey, int] = {}
    for catalog in {catalog for catalog, _ in keys}:
        ids = [product_id for of, product_id in keys if of == catalog]
        for start in range(0, len(ids), MAX_KEYS_A_STATEMENT):
            query = sa.select(PRODUCTS.c.product_id, PRODUCTS.c.revision).where(
                PRODUCTS.c.catalog == catalog,
                PRODUCTS.c.product_id.in_(ids[start : start + MAX_KEYS_A_STATEMENT]),
                PRODUCTS.c.product.is_not(None),
            )
            found |= {(catalog, row.product_id): row.revision for row in connection.execute(query)}
    return found


def _products(
    connection: sa.Connection, catalog: str, ids: list[str], *, with_rows: bool
) -> dict[str, StoredProduct]:
    found: list[StoredProduct] = []
    for start in range(0, len(ids), MAX_KEYS_A_STATEMENT):
        query = _page(MAX_KEYS_A_STATEMENT).where(
            PRODUCTS.c.catalog == catalog,
            PRODUCTS.c.product_id.in_(ids[start : start + MAX_KEYS_A_STATEMENT]),
        )
        found += _stored(connection.execute(_with_rows(query) if with_rows else query))
    return {each.product_id: each for each in found}


def _page(limit: int) -> sa.Select[Any]:
    """Living products by key."""
    return (
        sa.select(
            PRODUCTS.c.catalog,
            PRODUCTS.c.product_id,
            PRODUCTS.c.revision,
            PRODUCTS.c.time_ms,
            PRODUCTS.c.product,
        )
        .where(_LIVING)
        .order_by(PRODUCTS.c.catalog, PRODUCTS.c.product_id)
        .limit(limit)
    )


def _with_rows(page: sa.Select[Any]) -> sa.Select[Any]:
    """The products of a page, once for each generation that they have rows of, or once without."""
    products = page.subquery()
    same = sa.and_(
        VECTORS.c.catalog == products.c.catalog,
        VECTORS.c.product_id == products.c.product_id,
        VECTORS.c.rows.is_not(None),
    )
    return (
        sa.select(products, VECTORS.c.generation, VECTORS.c.rows)
        .select_from(products.outerjoin(VECTORS, same))
        .order_by(products.c.catalog, products.c.product_id, VECTORS.c.generation)
    )


def _stored(rows: Iterable[Any]) -> list[StoredProduct]:
    """Products from what `_page` selects, or what `_with_rows` does."""
    found = []
    for product, group in itertools.groupby(rows, lambda row: tuple(row[:5])):
        by_generation = {row.generation: row.rows for row in group if len(row) > 5 and row.generation}
        catalog, product_id, revision, time_ms, content = product
        found.append(StoredProduct(catalog, product_id, revision, time_ms, content, by_generation))
    return found


def _stated(change: CatalogChange) -> dict[str, object]:
    """The columns of what becomes of a catalogue."""
    record = change.record
    return {
        "catalog": change.catalog,
        "record": None if record is None else records.encode(record),
        "is_deleting": record is not None and record.is_deleting,
    }


def _record(row: sa.Row[Any]) -> CatalogRecord:
    return records.decode(row.catalog, row.record, is_deleting=row.is_deleting, revision=row.revision)
