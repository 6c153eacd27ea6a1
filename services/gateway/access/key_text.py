"""The text of an API key, and what is kept of it.

A key is `vk_<id>_<secret>`; its secret has 256 random bits. What is kept is the SHA-256 of the whole text.
Slow hashes such as Argon2 make it dear to try passwords that people think of; nobody can try 2^256 secrets
whatever a try costs, and a slow hash would cost every request its time.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "vk_"

_ID_BYTES = 8
_SECRET_BYTES = 32
_TEXT = re.compile(r"vk_([a-z0-9]{8,32})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: its id, its whole text, and the hash to keep (32 bytes)."""

    key_id: str
    text: str = field(repr=False)
    fingerprint: bytes


def new_key() -> NewKey:
    """A key that nobody has had before."""
    key_id = secrets.token_hex(_ID_BYTES)
    text = f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(key_id, text, fingerprint(text))


def id_in(text: str) -> str | None:
    """The id in the text of a key, or None for what is no key."""
    match = _TEXT.fullmatch(text)
    return match.group(1) if match else None


def fingerprint(text: str) -> bytes:
    """What is kept of a key: 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
