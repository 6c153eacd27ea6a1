"""A store of keys in memory that can be away."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.access import key_text
from services.gateway.access.key_text import NewKey
from services.gateway.store.keys import KeyRecord
from services.mesh import names
from services.mesh.errors import Unavailable
from vitrine.v1 import access_pb2


class FakeKeyStore:
    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}
        self.is_away = False
        self.reads = 0

    async def add(self, record: KeyRecord) -> None:
        self.records[record.key_id] = record

    async def get(self, key_id: str) -> KeyRecord | None:
        self.reads += 1
        if self.is_away:
            raise Unavailable("away", reason="STORE_UNAVAILABLE")
        return self.records.get(key_id)

    async def list(self, after: str, limit: int) -> Sequence[KeyRecord]:
        return [self.records[key_id] for key_id in sorted(self.records) if key_id > after][:limit]

    async def count(self) -> int:
        return len(self.records)

    async def delete(self, key_id: str) -> bool:
        return self.records.pop(key_id, None) is not None

    def made(self, key: access_pb2.ApiKey | None = None) -> NewKey:
        """A key that is in the store, of the scope `search` unless another is given."""
        new = key_text.new_key()
        kept = key or access_pb2.ApiKey(scope=access_pb2.SCOPE_SEARCH)
        kept.name = names.key_name(new.key_id)
        self.records[new.key_id] = KeyRecord(new.key_id, new.fingerprint, kept)
        return new


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s
