"""API keys in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.keys import KeyRecord
from services.mesh.errors import AlreadyExists
from vitrine.v1 import access_pb2

_KEYS = sa.Table(
    "api_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("secret_hash", sa.LargeBinary),
    sa.Column("key", sa.LargeBinary),
)


class SqliteKeyStore:
    """A `KeyStore` in a database that others use too."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, record: KeyRecord) -> None:
        """See KeyStore."""
        statement = (
            insert(_KEYS)
            .values(
                key_id=record.key_id,
                secret_hash=record.secret_hash,
                key=record.key.SerializeToString(),
            )
            .on_conflict_do_nothing()
        )
        added = await self._database.write(lambda connection: connection.execute(statement).rowcount)
        if not added:
            raise AlreadyExists(f"there is a key {record.key_id} already")

    async def get(self, key_id: str) -> KeyRecord | None:
        """See KeyStore."""
        query = sa.select(_KEYS).where(_KEYS.c.key_id == key_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _record(row)

    async def list(self, after: str, limit: int) -> Sequence[KeyRecord]:
        """See KeyStore."""
        query = sa.select(_KEYS).where(_KEYS.c.key_id > after).order_by(_KEYS.c.key_id).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def count(self) -> int:
        """See KeyStore."""
        query = sa.select(sa.func.count()).select_from(_KEYS)
        return await self._database.read(lambda connection: connection.scalar(query)) or 0

    async def delete(self, key_id: str) -> bool:
        """See KeyStore."""
        statement = sa.delete(_KEYS).where(_KEYS.c.key_id == key_id)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount) > 0


def _record(row: sa.Row[Any]) -> KeyRecord:
    return KeyRecord(row.key_id, row.secret_hash, access_pb2.ApiKey.FromString(row.key))
