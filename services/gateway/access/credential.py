"""What a caller shows to say who they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.mesh.errors import Unauthenticated

MAX_CHARACTERS = 8 << 10

_SCHEME = "bearer"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or a token. Its text never shows in a log: not even in the representation of this object."""

    secret: str = field(repr=False)


def of_headers(headers: Mapping[str, str | bytes]) -> Credential | None:
    """The credential in gRPC metadata or HTTP headers (names in lower case), or None when there is none.

    `authorization: Bearer <secret>` goes before `x-api-key: <secret>`. Raises Unauthenticated for another
    scheme and for a credential of more than MAX_CHARACTERS.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        secret = headers.get("x-api-key")
    else:
        scheme, _, secret = _text(authorization).partition(" ")
        if scheme.lower() != _SCHEME:
            raise Unauthenticated("authorization must be Bearer and a key or a token")
    if secret is None:
        return None
    secret = _text(secret).strip()
    if not 0 < len(secret) <= MAX_CHARACTERS:
        raise Unauthenticated(f"a credential has 1 to {MAX_CHARACTERS} characters")
    return Credential(secret)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
