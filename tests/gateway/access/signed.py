"""Tokens, and the files of public keys that they are checked by."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example", "vitrine"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}
FORMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public(algorithm: str, key_id: str | None = None) -> dict[str, Any]:
    """The public key of an algorithm as it is in a JWKS document."""
    form = FORMS[algorithm].to_jwk(PRIVATE[algorithm].public_key(), as_dict=True)
    return {**form, "kid": key_id or algorithm}


def write(file: Path, *keys: dict[str, Any]) -> None:
    """Replace the document at once, as a renewal should."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"keys": keys}))
    new.replace(file)


def token(algorithm: str = "RS256", *, key_id: str | None = None, without: str = "", **claims: Any) -> str:
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "importer",
        "exp": time.time() + 600,
        "scope": "openid vitrine.write",
        **claims,
    }
    said.pop(without, None)
    return jwt.encode(said, PRIVATE[algorithm], algorithm, headers={"kid": key_id or algorithm})
