"""The store in one SQLite file: write-ahead log, one writer, readers beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.gateway.store.interface import (
    MAX_ENTRY_BYTES,
    Bounds,
    CatalogRecord,
    Counts,
    Entry,
    HeadMoved,
    ProductChange,
    ProductKey,
    StoredProduct,
)
from services.gateway.store.schema import (
    CATALOGS,
    CHANGES,
    ENTRIES,
    MARKS,
    OUTCOMES,
    PRODUCTS,
    VECTORS,
    migrate,
)
from services.mesh.errors import AlreadyExists, OutOfRange, Unavailable
from vitrine.v1 import common_pb2

Result = TypeVar("Result")

READERS = 4
BUSY_TIMEOUT_MS = 5_000
# Well below SQLite's limit of 32,766 variables a statement.
MAX_KEYS_A_STATEMENT = 500


class SqliteStore:
    """A `Store` in the file `path`, which is made or migrated when opened."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", connections=1)
        self._reader = _engine(path, begin="BEGIN", connections=READERS)
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reader_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open the store in a file; raises Unavailable when that cannot be done."""
        store = cls(path)
        await store._write(migrate)
        return store

    async def close(self) -> None:
        """Finish what is being done and close the file."""
        await asyncio.to_thread(self._close)

    async def bounds(self) -> Bounds:
        """See Store."""
        return await self._read(_bounds)

    async def applied(self) -> int:
        """See Store."""
        return await self._read(lambda connection: _mark(connection, "applied"))

    async def append(self, entry: Entry) -> None:
        """See Store."""
        await self._write(lambda connection: _append(connection, entry))

    async def apply(self, entry: Entry) -> None:
        """See Store."""
        await self._write(lambda connection: _apply(connection, entry))

    async def entries(
        self, after: int, *, max_entries: int = 256, max_bytes: int = MAX_ENTRY_BYTES
    ) -> Sequence[Entry]:
        """See Store."""
        return await self._read(lambda connection: _entries(connection, after, max_entries, max_bytes))

    async def trim(self, keep_entries: int) -> None:
        """See Store."""
        await self._write(lambda connection: _trim(connection, keep_entries))

    async def outcome(self, request_key: str) -> bytes | None:
        """See Store."""
        query = sa.select(OUTCOMES.c.outcome).where(OUTCOMES.c.request_key == request_key)
        return await self._read(lambda connection: connection.scalar(query))

    async def revisions(self, keys: Collection[ProductKey]) -> Mapping[ProductKey, int]:
        """See Store."""
        return await self._read(lambda connection: _revisions(connection, list(keys)))

    async def create_catalog(self, record: CatalogRecord) -> None:
        """See Store."""
        statement = insert(CATALOGS).values(
            catalog=record.catalog,
            generation=record.generation.SerializeToString(),
            create_time_ms=record.create_time_ms,
        )
        created = await self._write(
            lambda connection: connection.execute(statement.on_conflict_do_nothing()).rowcount
        )
        if not created:
            raise AlreadyExists(f"there is a catalogue {record.catalog} already")

    async def catalog(self, catalog: str) -> CatalogRecord | None:
        """See Store."""
        query = sa.select(CATALOGS).where(CATALOGS.c.catalog == catalog)
        row = await self._read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _catalog(row)

    async def catalogs(self, after: str, limit: int) -> Sequence[CatalogRecord]:
        """See Store."""
        query = (
            sa.select(CATALOGS).where(CATALOGS.c.catalog > after).order_by(CATALOGS.c.catalog).limit(limit)
        )
        return [_catalog(row) for row in await self._read(lambda connection: connection.execute(query).all())]

    async def counts(self, catalog: str) -> Counts:
        """See Store."""
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(PRODUCTS.c.photo_count), 0)).where(
            PRODUCTS.c.catalog == catalog, PRODUCTS.c.product.is_not(None)
        )
        products, photos = await self._read(lambda connection: connection.execute(query).one())
        return Counts(products, photos)

    async def products(
        self, catalog: str, product_ids: Collection[str], *, with_rows: bool = False
    ) -> Mapping[str, StoredProduct]:
        """See Store."""
        return await self._read(
            lambda connection: _products(connection, catalog, list(product_ids), with_rows=with_rows)
        )

    async def list_products(self, catalog: str, after: str, limit: int) -> Sequence[StoredProduct]:
        """See Store."""
        query = (
            _select_products(with_rows=False)
            .where(PRODUCTS.c.catalog == catalog, PRODUCTS.c.product_id > after)
            .order_by(PRODUCTS.c.product_id)
            .limit(limit)
        )
        return await self._read(lambda connection: [StoredProduct(*row) for row in connection.execute(query)])

    async def scan(
        self, buckets: Sequence[int], after: ProductKey | None, limit: int
    ) -> Sequence[StoredProduct]:
        """See Store."""
        query = _select_products(with_rows=True).where(PRODUCTS.c.bucket.in_(buckets))
        # The primary key gives the order, so that a page costs what it holds.
        if after is not None:
            query = query.where(sa.tuple_(PRODUCTS.c.catalog, PRODUCTS.c.product_id) > after)
        query = query.order_by(PRODUCTS.c.catalog, PRODUCTS.c.product_id).limit(limit)
        return await self._read(lambda connection: [StoredProduct(*row) for row in connection.execute(query)])

    async def _read(self, work: Callable[[sa.Connection], Result]) -> Result:
        return await _in_thread(self._reader_threads, self._reader, work)

    async def _write(self, work: Callable[[sa.Connection], Result]) -> Result:
        return await _in_thread(self._writer_thread, self._writer, work)

    def _close(self) -> None:
        self._writer_thread.shutdown()
        self._reader_threads.shutdown()
        self._writer.dispose()
        self._reader.dispose()


def _engine(path: Path, *, begin: str, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}", poolclass=sa.pool.QueuePool, pool_size=connections, max_overflow=0
    )

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # Transactions are begun below, as we say; the driver would begin them late and never for reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        # Acknowledged is on the disk, also when the machine loses power.
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


async def _in_thread(
    threads: ThreadPoolExecutor, engine: sa.Engine, work: Callable[[sa.Connection], Result]
) -> Result:
    def transaction() -> Result:
        with engine.begin() as connection:
            return work(connection)

    try:
        return await asyncio.get_running_loop().run_in_executor(threads, transaction)
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        raise Unavailable(f"the store cannot be reached: {error}", reason="STORE_UNAVAILABLE") from error


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
            size_bytes=sum(change.size_bytes for change in entry.changes),
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
                    "rows": change.rows,
                    "photo_count": change.photo_count,
                }
                for position, change in enumerate(entry.changes)
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
    product = insert(PRODUCTS)
    product = product.on_conflict_do_update(
        index_elements=[PRODUCTS.c.catalog, PRODUCTS.c.product_id],
        set_={name: product.excluded[name] for name in ("revision", "time_ms", "photo_count", "product")},
        where=PRODUCTS.c.revision < product.excluded.revision,
    )
    vectors = insert(VECTORS)
    vectors = vectors.on_conflict_do_update(
        index_elements=[VECTORS.c.catalog, VECTORS.c.product_id],
        set_={name: vectors.excluded[name] for name in ("revision", "rows")},
        where=VECTORS.c.revision < vectors.excluded.revision,
    )
    if entry.changes:
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
                }
                for change in entry.changes
            ],
        )
    # A deleted product leaves empty rows behind, which go with its tombstone.
    written = [change for change in entry.changes if change.rows is not None or change.product is None]
    if written:
        connection.execute(
            vectors,
            [
                {
                    "catalog": change.catalog,
                    "product_id": change.product_id,
                    "revision": entry.revision,
                    "rows": change.rows or b"",
                }
                for change in written
            ],
        )
    _set_mark(connection, "applied", entry.revision)


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
    changes: dict[int, list[ProductChange]] = {revision: [] for revision in times_ms}
    rows = connection.execute(
        sa.select(CHANGES)
        .where(CHANGES.c.revision.between(min(times_ms), max(times_ms)))
        .order_by(CHANGES.c.revision, CHANGES.c.position)
    )
    for row in rows:
        changes[row.revision].append(
            ProductChange(row.catalog, row.product_id, row.product, row.rows, row.photo_count)
        )
    return [Entry(revision, time_ms, tuple(changes[revision])) for revision, time_ms in times_ms.items()]


def _trim(connection: sa.Connection, keep_entries: int) -> None:
    floor = min(_bounds(connection).head - keep_entries, _mark(connection, "applied"))
    if floor <= _mark(connection, "floor"):
        return
    _set_mark(connection, "floor", floor)
    for table in (ENTRIES, CHANGES, OUTCOMES):
        connection.execute(sa.delete(table).where(table.c.revision <= floor))
    dead = sa.select(PRODUCTS.c.catalog, PRODUCTS.c.product_id).where(
        PRODUCTS.c.product.is_(None), PRODUCTS.c.revision <= floor
    )
    connection.execute(sa.delete(VECTORS).where(sa.tuple_(VECTORS.c.catalog, VECTORS.c.product_id).in_(dead)))
    connection.execute(sa.delete(PRODUCTS).where(PRODUCTS.c.product.is_(None), PRODUCTS.c.revision <= floor))


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
    found: dict[str, StoredProduct] = {}
    for start in range(0, len(ids), MAX_KEYS_A_STATEMENT):
        query = _select_products(with_rows=with_rows).where(
            PRODUCTS.c.catalog == catalog,
            PRODUCTS.c.product_id.in_(ids[start : start + MAX_KEYS_A_STATEMENT]),
        )
        found |= {row.product_id: StoredProduct(*row) for row in connection.execute(query)}
    return found


def _select_products(*, with_rows: bool) -> sa.Select[Any]:
    columns = [
        PRODUCTS.c.catalog,
        PRODUCTS.c.product_id,
        PRODUCTS.c.revision,
        PRODUCTS.c.time_ms,
        PRODUCTS.c.product,
    ]
    living = PRODUCTS.c.product.is_not(None)
    if not with_rows:
        return sa.select(*columns).where(living)
    same = sa.and_(VECTORS.c.catalog == PRODUCTS.c.catalog, VECTORS.c.product_id == PRODUCTS.c.product_id)
    return sa.select(*columns, VECTORS.c.rows).select_from(PRODUCTS.outerjoin(VECTORS, same)).where(living)


def _catalog(row: sa.Row[Any]) -> CatalogRecord:
    return CatalogRecord(row.catalog, common_pb2.Generation.FromString(row.generation), row.create_time_ms)
