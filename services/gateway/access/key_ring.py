"""Knows the API keys: asks the store, and remembers what it said for a while."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.gateway.access.caller import Caller
from services.gateway.flight import SingleFlight
from services.gateway.store.keys import KeyRecord, KeyStore
from services.mesh import deadline, names
from services.mesh.errors import Unauthenticated, Unavailable

Value = TypeVar("Value")

FRESH_S = 10.0
"""A key that was deleted, on whichever gateway, is refused after this time."""

KEPT_S = 300.0
"""Keys work for this long after the store was last heard of."""

MAX_KNOWN = 10_000
MAX_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    fingerprint: bytes
    caller: Caller
    expires_at_s: float
    """Unix time."""
    read_at_s: float
    """Monotonic time."""


class KeyRing:
    """The keys in a store, which has `timeout_s` to answer."""

    def __init__(
        self, store: KeyStore, *, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Ids that the store does not have, with the time it said so. They are kept apart, so that somebody
        # who tries many cannot push the keys out that are in use.
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._reading: SingleFlight[KeyRecord | None] = SingleFlight()

    def is_new(self, key_id: str) -> bool:
        """Whether the store has to be asked about a key that nothing is remembered of."""
        return key_id not in self._known and not self._is_refused(key_id)

    async def caller(self, key_id: str, fingerprint: bytes) -> Caller:
        """Whose key it is.

        Raises Unauthenticated for one that does not exist, has ended or has another fingerprint, Unavailable
        when it is not remembered and the store is away.
        """
        known = await self._find(key_id)
        if known is None or not hmac.compare_digest(known.fingerprint, fingerprint):
            raise Unauthenticated("the key is not valid", reason="KEY_INVALID")
        if known.expires_at_s <= time.time():
            raise Unauthenticated("the key has expired", reason="KEY_EXPIRED")
        return known.caller

    def forget(self, key_id: str) -> None:
        """Ask the store about a key the next time: it has been deleted here."""
        self._known.pop(key_id, None)

    async def _find(self, key_id: str) -> _Known | None:
        known = self._known.get(key_id)
        now_s = self._clock()
        if known is not None and now_s - known.read_at_s < FRESH_S:
            self._known.move_to_end(key_id)
            return known
        if self._is_refused(key_id):
            return None
        try:
            record, _ = await self._reading.do(key_id.encode(), lambda: self._read(key_id))
        except Unavailable:
            if known is None or now_s - known.read_at_s > KEPT_S:
                raise
            return known
        if record is None:
            self._known.pop(key_id, None)
            _put(self._unknown, key_id, now_s, most=MAX_UNKNOWN)
            return None
        # Its age counts from before the store was asked: what it said may be as old as that.
        found = _read_record(record, read_at_s=now_s)
        _put(self._known, key_id, found, most=MAX_KNOWN)
        return found

    def _is_refused(self, key_id: str) -> bool:
        since_s = self._unknown.get(key_id)
        if since_s is None:
            return False
        if self._clock() - since_s < FRESH_S:
            return True
        del self._unknown[key_id]
        return False

    async def _read(self, key_id: str) -> KeyRecord | None:
        allowed_s = deadline.remaining_s(self._timeout_s)
        try:
            async with asyncio.timeout(allowed_s):
                return await self._store.get(key_id)
        except TimeoutError:
            raise Unavailable(
                f"the store has not answered within {allowed_s:g} s", reason="STORE_UNAVAILABLE"
            ) from None


def _read_record(record: KeyRecord, *, read_at_s: float) -> _Known:
    key = record.key
    caller = Caller(
        id=names.key_name(record.key_id),
        scope=key.scope,
        catalogs=frozenset(names.parse_catalog(name, "catalogs") for name in key.catalogs),
        rate_limit_per_s=key.rate_limit_per_s,
    )
    ends_s = key.expire_time.ToNanoseconds() / 1e9 if key.HasField("expire_time") else float("inf")
    return _Known(record.secret_hash, caller, ends_s, read_at_s)


def _put(remembered: OrderedDict[str, Value], key_id: str, value: Value, *, most: int) -> None:
    remembered[key_id] = value
    remembered.move_to_end(key_id)
    if len(remembered) > most:
        remembered.popitem(last=False)
