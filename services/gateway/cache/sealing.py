"""A cached value on its way through a server that others write to: sealed with its key and its times."""

from __future__ import annotations

import hashlib
import struct

from services.gateway.cache.interface import Kept

# Part of the name that a value is kept under: gateways of two releases leave each other's values alone.
FORMAT = 1
# The clocks of gateways differ. A value from so far in the future is none; within that it counts as new, so
# that an answer may be older than its reader allows by this much and no more.
MAX_SKEW_S = 1.0

_SEAL_BYTES = 8
_TIMES = struct.Struct("<ddd")


def sealed(key: bytes, value: bytes, *, now_s: float, ttl_s: float, cost_s: float) -> bytes:
    """A value made at `now_s`, seconds of the wall clock, for `opened`."""
    body = _TIMES.pack(now_s, now_s + ttl_s, cost_s) + value
    return _seal(key, body) + body


def opened(key: bytes, data: bytes, *, now_s: float) -> Kept | None:
    """The value; None for one that is over, from the future, damaged, or put under another key."""
    body = data[_SEAL_BYTES:]
    if len(body) < _TIMES.size or data[:_SEAL_BYTES] != _seal(key, body):
        return None
    put_at_s, ends_at_s, cost_s = _TIMES.unpack_from(body)
    if now_s >= ends_at_s or put_at_s - now_s > MAX_SKEW_S:
        return None
    return Kept(body[_TIMES.size :], max(0.0, now_s - put_at_s), ends_at_s - now_s, cost_s)


def _seal(key: bytes, body: bytes) -> bytes:
    digest = hashlib.blake2b(len(key).to_bytes(4, "little") + key, digest_size=_SEAL_BYTES)
    digest.update(body)
    return digest.digest()
