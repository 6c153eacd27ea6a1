"""Where API keys are kept: hashes of their secrets, never the secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vitrine.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key by its id, with the hash of its secret."""

    key_id: str
    secret_hash: bytes
    key: access_pb2.ApiKey


class KeyStore(Protocol):
    """Raises Unavailable (STORE_UNAVAILABLE) when the database cannot be reached."""

    async def add(self, record: KeyRecord) -> None:
        """Keep a key; durable when it returns. Raises AlreadyExists."""

    async def get(self, key_id: str) -> KeyRecord | None:
        """A key."""

    async def list(self, after: str, limit: int) -> Sequence[KeyRecord]:
        """Keys by id, after one."""

    async def count(self) -> int:
        """How many there are."""

    async def delete(self, key_id: str) -> bool:
        """Remove a key; whether there was one."""
