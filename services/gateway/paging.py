"""Page tokens: opaque to callers, bound to the request that they continue."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import struct
import zlib
from dataclasses import dataclass

from services.mesh.errors import InvalidArgument
from vitrine.v1 import ranker_pb2

FIELD = "page_token"
DIGEST_BYTES = 16
MAX_BELIEF_BYTES = 64 << 10

_CHECKSUM_BYTES = 6
_POSITION = struct.Struct(f"<{DIGEST_BYTES}sdqB")
_OFFSET = struct.Struct("<H")
_LENGTH = struct.Struct("<H")
_RANKED, _PLACED = 1, 2


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """Where the next page of a search begins.

    `digest` is that of the request, generation and profile; `revision` is the next page's least one; `ranked`
    tells whether the ranker made the order, or the visual order stood in, in which the next page has to go
    on. `offset` is how many hits came before, where the order is not by score. `beliefs` are what the ranker
    believed of the query, at most MAX_BELIEF_BYTES, so that it scores all pages alike.
    """

    digest: bytes
    score: float
    product_id: str
    revision: int
    ranked: bool
    offset: int | None = None
    beliefs: bytes = b""

    def encode(self) -> str:
        """As a token."""
        is_placed = self.offset is not None
        flags = _RANKED * self.ranked | _PLACED * is_placed
        position = _POSITION.pack(self.digest, self.score, self.revision, flags)
        offset = b"" if self.offset is None else _OFFSET.pack(self.offset)
        product_id = self.product_id.encode()
        beliefs = zlib.compress(self.beliefs) if self.beliefs else b""
        return _sealed(position + offset + _LENGTH.pack(len(product_id)) + product_id + beliefs)

    @classmethod
    def decode(cls, token: str, digest: bytes) -> SearchPosition:
        """From a token; raises InvalidArgument when it is not one of ours, or of another request."""
        data = _opened(token)
        if len(data) < _POSITION.size:
            raise InvalidArgument(FIELD, "is not a page token of a search")
        of, score, revision, flags = _POSITION.unpack_from(data)
        # Whoever knows how tokens are made can make one.
        is_cut = bool(flags & _PLACED) and len(data) < _POSITION.size + _OFFSET.size
        if is_cut or not math.isfinite(score) or revision < 0:
            raise InvalidArgument(FIELD, "is not a page token of a search")
        if of != digest:
            raise InvalidArgument(
                FIELD, "belongs to another request; only the token may differ between pages"
            )
        end = _POSITION.size
        offset = None
        if flags & _PLACED:
            (offset,) = _OFFSET.unpack_from(data, end)
            end += _OFFSET.size
        if len(data) < end + _LENGTH.size:
            raise InvalidArgument(FIELD, "is not a page token of a search")
        start = end + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, end)[0]
        product_id = data[start:end].decode(errors="replace")
        beliefs = _inflated(data[end:])
        return cls(of, score, product_id, revision, bool(flags & _RANKED), offset, beliefs)

    @property
    def cursor(self) -> ranker_pb2.RankCursor | None:
        """For the ranker, in an order by score."""
        if self.offset is not None:
            return None
        return ranker_pb2.RankCursor(score=self.score, product_id=self.product_id)


def _inflated(data: bytes) -> bytes:
    """What was compressed; raises InvalidArgument for what never was, or takes more than it may."""
    if not data:
        return b""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, MAX_BELIEF_BYTES)
    except zlib.error as error:
        raise InvalidArgument(FIELD, "is not a page token of a search") from error
    if not inflater.eof or inflater.unused_data:
        raise InvalidArgument(FIELD, "is not a page token of a search")
    return found


def encode_after(parent: str, last_id: str) -> str:
    """The token of the page after `last_id` in the list of what `parent` holds."""
    return _sealed(json.dumps([parent, last_id]).encode())


def decode_after(parent: str, token: str) -> str:
    """The id after which the page begins, empty without a token.

    Raises InvalidArgument for a token of another list.
    """
    if not token:
        return ""
    try:
        of, last_id = json.loads(_opened(token))
    except (ValueError, TypeError) as error:
        raise InvalidArgument(FIELD, "is not a page token of a list") from error
    if of != parent or not isinstance(last_id, str):
        raise InvalidArgument(FIELD, "belongs to another list")
    return last_id


def page_size(asked: int, *, default: int, most: int) -> int:
    """How many to return; raises InvalidArgument when out of range."""
    if not 0 <= asked <= most:
        raise InvalidArgument("page_size", f"must be 1 to {most}, or 0 for {default}")
    return asked or default


def _sealed(data: bytes) -> str:
    return base64.urlsafe_b64encode(_checksum(data) + data).rstrip(b"=").decode()


def _opened(token: str) -> bytes:
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(FIELD, "is not a page token") from error
    checksum, data = sealed[:_CHECKSUM_BYTES], sealed[_CHECKSUM_BYTES:]
    if checksum != _checksum(data):
        raise InvalidArgument(FIELD, "is not a page token")
    return data


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, person=b"vitrine-page-2").digest()
