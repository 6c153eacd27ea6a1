"""API keys in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import DuplicateKeyError

from services.gateway.store.keys import KeyRecord
from services.gateway.store.mongo.connection import Collection, Connected, Document, MongoConnection, reaching
from services.mesh.errors import AlreadyExists
from vitrine.v1 import access_pb2


class MongoKeyStore(Connected):
    """A `KeyStore`."""

    def __init__(self, connection: MongoConnection) -> None:
        super().__init__(connection)
        self._keys: Collection = connection.database.api_keys

    @reaching
    async def add(self, record: KeyRecord) -> None:
        """See KeyStore."""
        document = {
            "_id": record.key_id,
            "secret_hash": record.secret_hash,
            "key": record.key.SerializeToString(deterministic=True),
        }
        try:
            await self._keys.insert_one(document)
        except DuplicateKeyError:
            raise AlreadyExists(f"there is a key {record.key_id} already") from None

    @reaching
    async def get(self, key_id: str) -> KeyRecord | None:
        """See KeyStore."""
        found = await self._keys.find_one({"_id": key_id})
        return _record(found) if found else None

    @reaching
    async def list(self, after: str, limit: int) -> Sequence[KeyRecord]:
        """See KeyStore."""
        found = await self._keys.find({"_id": {"$gt": after}}).sort("_id").limit(limit).to_list()
        return [_record(document) for document in found]

    @reaching
    async def count(self) -> int:
        """See KeyStore."""
        return await self._keys.count_documents({})

    @reaching
    async def delete(self, key_id: str) -> bool:
        """See KeyStore."""
        return (await self._keys.delete_one({"_id": key_id})).deleted_count > 0


def _record(document: Document) -> KeyRecord:
    return KeyRecord(document["_id"], document["secret_hash"], access_pb2.ApiKey.FromString(document["key"]))
