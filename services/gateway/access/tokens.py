"""Reads JSON Web Tokens that somebody else's identity service signed.

Sources: RFC 7519 (JWT), RFC 7517 (key sets), RFC 8725 (what to beware of: the algorithm comes from our key
and never from the token, there is always an end, an issuer and an audience).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import structlog

from services.gateway.access.caller import Caller
from services.mesh import names
from services.mesh.errors import InvalidArgument, PermissionDenied, Unauthenticated
from vitrine.v1 import access_pb2

_log = structlog.get_logger()

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LEEWAY_S = 30.0
"""Clocks may differ by so much."""

SCOPES = {
    "vitrine.admin": access_pb2.SCOPE_ADMIN,
    "vitrine.write": access_pb2.SCOPE_WRITE,
    "vitrine.search": access_pb2.SCOPE_SEARCH,
}

MAX_KEYS = 100
MAX_FILE_BYTES = 1 << 20
MAX_CATALOGS = 100
MAX_SUBJECT_CHARACTERS = 200
MAX_REMEMBERED = 10_000

_LOOK_S = 2.0
_INVALID = "TOKEN_INVALID"


class TokenReader:
    """Checks tokens by the public keys in `keys_file`, a JWKS document that is read again when it changes.

    Raises OSError when it cannot be read, or holds no key that is good.
    """

    def __init__(
        self, keys_file: Path, *, issuer: str, audience: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = keys_file
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        # A signature takes about 50 us to check, so that callers and ends (Unix time) of tokens are kept, by
        # digest.
        self._remembered: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._stamp = self._stamp_now()
        self._looked_at_s = clock()
        try:
            self._keys = _keys_in(keys_file)
        except ValueError as error:
            raise OSError(f"{keys_file}: {error}") from error

    def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises Unauthenticated for one that is not good, PermissionDenied for one without a scope of ours.
        """
        self._follow_file()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and time.time() < remembered[1]:
            self._remembered.move_to_end(digest)
            return remembered[0]
        claims = self._claims(token)
        caller = _caller(claims)
        self._remembered[digest] = caller, float(claims["exp"])
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return caller

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(key.algorithm_name)],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired", reason="TOKEN_EXPIRED") from error
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise Unauthenticated("the token is not valid", reason=_INVALID) from error
        return claims

    def _key(self, key_id: object) -> jwt.PyJWK:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated("the token is signed by a key that is not known", reason=_INVALID)
        return key

    def _follow_file(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_at_s < _LOOK_S:
            return
        self._looked_at_s = now_s
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._keys = _keys_in(self._file)
        except (OSError, ValueError) as error:
            _log.error("token keys cannot be read again, those known stay", error=str(error))
            return
        # A token is no longer good when its key is gone.
        self._remembered.clear()
        _log.info("token keys read again", keys=len(self._keys))

    def _stamp_now(self) -> tuple[int, int, int]:
        state = self._file.stat()
        return state.st_ino, state.st_mtime_ns, state.st_size


def _keys_in(file: Path) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS file by id; raises OSError or ValueError."""
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"has more than {MAX_FILE_BYTES} bytes")
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_KEYS:
        raise ValueError(f"is not a JWKS document of 1 to {MAX_KEYS} keys")
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("has a key that is no object")
    keys = {}
    for number, entry in enumerate(entries):
        if entry.get("use", "sig") != "sig":
            continue
        if entry.get("kty") == "oct" or "d" in entry:
            raise ValueError(f"keys[{number}] is a secret; only public keys belong here")
        try:
            key = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, ValueError) as error:
            raise ValueError(f"keys[{number}] cannot be read: {error}") from error
        if key.algorithm_name not in ALGORITHMS:
            raise ValueError(f"keys[{number}] is for {key.algorithm_name}, not for {', '.join(ALGORITHMS)}")
        keys[str(entry.get("kid", ""))] = key
    if not keys:
        raise ValueError("holds no key for signatures")
    return keys


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
        raise Unauthenticated(f"sub has 1 to {MAX_SUBJECT_CHARACTERS} characters", reason=_INVALID)
    said = claims.get("scope", "")
    words = said.split() if isinstance(said, str) else []
    scope = next((scope for word, scope in SCOPES.items() if word in words), None)
    if scope is None:
        raise PermissionDenied(f"the token's scope has none of {', '.join(SCOPES)}", reason="SCOPE_MISSING")
    return Caller(f"jwt/{subject}", scope, _catalogs(claims))


def _catalogs(claims: Mapping[str, Any]) -> frozenset[str]:
    if "catalogs" not in claims:
        return frozenset()
    said = claims["catalogs"]
    # An empty list means none to whoever wrote it, and all to us: it is refused.
    if not isinstance(said, list) or not 1 <= len(said) <= MAX_CATALOGS:
        raise Unauthenticated(f"catalogs is a list of 1 to {MAX_CATALOGS} names", reason=_INVALID)
    try:
        return frozenset(names.parse_catalog(str(name), "catalogs") for name in said)
    except InvalidArgument as error:
        raise Unauthenticated(f"catalogs: {error.message}", reason=_INVALID) from error
