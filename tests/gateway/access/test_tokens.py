from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from services.gateway.access.tokens import LEEWAY_S, MAX_CATALOGS, TokenReader
from services.mesh.errors import PermissionDenied, Unauthenticated
from tests.gateway.access.signed import AUDIENCE, EC_KEY, ISSUER, PRIVATE, RSA_KEY, public, token, write
from tests.gateway.access.stores import Clock
from vitrine.v1 import access_pb2

# Longer than from reading this file to running it.
DAY_S = 86_400


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    write(file, *(public(algorithm) for algorithm in PRIVATE))
    return file


@pytest.fixture(scope="module")
def reader(keys_file: Path) -> TokenReader:
    return TokenReader(keys_file, issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_good_token_says_who_calls(reader: TokenReader, algorithm: str) -> None:
    """A token of each algorithm that is taken names its caller, scope and catalogues, each time."""
    signed = token(algorithm, catalogs=["catalogs/shop"])
    for _ in range(2):
        caller = reader.caller(signed)
        assert (caller.id, caller.scope) == ("jwt/importer", access_pb2.SCOPE_WRITE)
        assert caller.catalogs == {"shop"}


@pytest.mark.parametrize(
    ("words", "scope"),
    [
        ("vitrine.search", access_pb2.SCOPE_SEARCH),
        ("vitrine.search vitrine.write", access_pb2.SCOPE_WRITE),
        ("vitrine.admin vitrine.search", access_pb2.SCOPE_ADMIN),
    ],
)
def test_the_greatest_scope_counts(
    reader: TokenReader, words: str, scope: access_pb2.Scope.ValueType
) -> None:
    """Of several scopes the greatest is what the token allows."""
    assert reader.caller(token(scope=words)).scope == scope


@pytest.mark.parametrize(
    "words", ["", "vitrine", "vitrine.administrator", "admin", ["vitrine.admin"], 7, None]
)
def test_a_token_without_a_scope_of_ours_may_do_nothing(reader: TokenReader, words: object) -> None:
    """A good token that says nothing of us is PermissionDenied."""
    with pytest.raises(PermissionDenied):
        reader.caller(token(scope=words))


@pytest.mark.parametrize("claim", ["exp", "sub", "iss", "aud"])
def test_what_binds_a_token_has_to_be_there(reader: TokenReader, claim: str) -> None:
    """A token without an end, a subject, an issuer or an audience is refused."""
    with pytest.raises(Unauthenticated):
        reader.caller(token(without=claim))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"aud": "another-service"},
        {"sub": ""},
        {"sub": "s" * 201},
        {"sub": 7},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"nbf": time.time() + DAY_S},
        {"catalogs": []},
        {"catalogs": "catalogs/shop"},
        {"catalogs": ["shop"]},
        {"catalogs": [7]},
        {"catalogs": [f"catalogs/c{number}" for number in range(MAX_CATALOGS + 1)]},
    ],
)
def test_other_claims_are_refused(reader: TokenReader, claims: dict[str, Any]) -> None:
    """A token of or for somebody else, not valid yet, or with claims of another form is no token."""
    try:
        signed = token(**claims)
    except TypeError:
        signed = _by_hand(claims)
    with pytest.raises(Unauthenticated):
        reader.caller(signed)


def _by_hand(claims: dict[str, Any]) -> str:
    """A signed token that PyJWT would not make."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "importer",
        "exp": time.time() + 600,
        "scope": "vitrine.search",
    } | claims
    return jwt.api_jws.encode(json.dumps(said).encode(), RSA_KEY, "RS256", headers={"kid": "RS256"})


def test_an_expired_token_is_refused(reader: TokenReader) -> None:
    """A token ends LEEWAY_S after its time, since clocks differ."""
    assert reader.caller(token(exp=time.time() - LEEWAY_S / 2)).id == "jwt/importer"
    with pytest.raises(Unauthenticated) as refused:
        reader.caller(token(exp=time.time() - LEEWAY_S - 2))
    assert refused.value.reason == "TOKEN_EXPIRED"


def test_a_token_without_a_signature_is_refused(reader: TokenReader) -> None:
    """The algorithm `none` is none that is taken."""
    _, claims, _ = token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"RS256"}').rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        reader.caller(f"{header}.{claims}.")


def test_a_public_key_is_no_secret(keys_file: Path) -> None:
    """A token signed by HMAC with the public key's own text, which anybody has, is refused."""
    reader = TokenReader(keys_file, issuer=ISSUER, audience=AUDIENCE)
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    said = token().split(".")[1]
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"RS256"}').rstrip(b"=").decode()
    signature = hmac.new(pem, f"{header}.{said}".encode(), hashlib.sha256).digest()
    forged = f"{header}.{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(Unauthenticated):
        reader.caller(forged)


def test_a_token_says_not_which_algorithm_its_key_is_for(reader: TokenReader) -> None:
    """A token that names the key of another algorithm than its own is refused."""
    with pytest.raises(Unauthenticated):
        reader.caller(token("ES256", key_id="RS256"))


def test_an_unknown_key_is_refused(reader: TokenReader) -> None:
    """A token signed by a key that is not in the file is refused, whatever the file holds."""
    with pytest.raises(Unauthenticated):
        reader.caller(token(key_id="somebody"))


# Refused for what was changed in it and not for its end.
SIGNED = token("EdDSA", exp=int(time.time()) + DAY_S)


@given(st.integers(0, len(SIGNED) - 1), st.sampled_from("ABab01-_.\x00é"))
def test_a_changed_token_is_refused(reader: TokenReader, place: int, other: str) -> None:
    """One character changed anywhere makes a token worthless."""
    assert reader.caller(SIGNED).id == "jwt/importer"
    changed = SIGNED[:place] + other + SIGNED[place + 1 :]
    if _same_bytes(changed, SIGNED):
        return
    with pytest.raises(Unauthenticated):
        reader.caller(changed)


def _same_bytes(one: str, other: str) -> bool:
    """Whether only spare bits differ, which base64 leaves at the end of a part."""

    def parts(text: str) -> list[bytes]:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split(".")]

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False


def test_a_single_key_needs_no_name(tmp_path: Path) -> None:
    """Where the file has one key, a token need not name it."""
    file = tmp_path / "jwks.json"
    write(file, public("ES256"))
    claims = jwt.decode(token("ES256"), options={"verify_signature": False})
    nameless = jwt.encode(claims, EC_KEY, "ES256")
    assert TokenReader(file, issuer=ISSUER, audience=AUDIENCE).caller(nameless).id == "jwt/importer"


class TestFile:
    def reader(self, file: Path, clock: Clock) -> TokenReader:
        return TokenReader(file, issuer=ISSUER, audience=AUDIENCE, clock=clock)

    def test_new_keys_are_taken_up(self, tmp_path: Path) -> None:
        """Once the file is replaced, tokens of new keys are good, and those of old ones are not."""
        file, clock = tmp_path / "jwks.json", Clock()
        write(file, public("RS256"))
        reader = self.reader(file, clock)
        old, new = token("RS256"), token("ES256")
        assert reader.caller(old).id == "jwt/importer"
        with pytest.raises(Unauthenticated):
            reader.caller(new)
        write(file, public("ES256"))
        clock.now_s += 10
        assert reader.caller(new).id == "jwt/importer"
        with pytest.raises(Unauthenticated):
            reader.caller(old)

    def test_a_broken_file_changes_nothing(self, tmp_path: Path) -> None:
        """Keys that are known stay good while the file cannot be read."""
        file, clock = tmp_path / "jwks.json", Clock()
        write(file, public("RS256"))
        reader = self.reader(file, clock)
        for trouble in ("{", None):
            if trouble is None:
                file.unlink()
            else:
                file.write_text(trouble)
            clock.now_s += 10
            assert reader.caller(token("RS256")).id == "jwt/importer"

    def test_it_has_to_be_there_at_the_start(self, tmp_path: Path) -> None:
        """A gateway without the file that it is told of does not start."""
        with pytest.raises(OSError, match="jwks"):
            self.reader(tmp_path / "jwks.json", Clock())

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("", "Expecting value"),
            ("[]", "1 to 100 keys"),
            ('{"keys": []}', "1 to 100 keys"),
            ('{"keys": [7]}', "no object"),
            ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "is a secret"),
            ('{"keys": [{"kty": "RSA"}]}', "cannot be read"),
            ('{"keys": [{"kty": "RSA", "use": "enc"}]}', "no key for signatures"),
            (" " * (1 << 20) + "{}", "more than"),
        ],
    )
    def test_what_is_no_set_of_public_keys_is_refused(self, tmp_path: Path, content: str, told: str) -> None:
        """A file with secrets, of another form or too large is refused, and the line says why."""
        file = tmp_path / "jwks.json"
        file.write_text(content)
        with pytest.raises(OSError, match=told):
            self.reader(file, Clock())

    def test_a_private_key_is_refused(self, tmp_path: Path) -> None:
        """A private key has no business on a gateway."""
        file = tmp_path / "jwks.json"
        write(file, {**ECAlgorithm.to_jwk(EC_KEY, as_dict=True), "kid": "a"})
        with pytest.raises(OSError, match="is a secret"):
            self.reader(file, Clock())

    def test_other_algorithms_are_refused(self, tmp_path: Path) -> None:
        """A key for an algorithm that is not taken is told of at the start, not at the first token."""
        file = tmp_path / "jwks.json"
        write(file, {**public("RS256"), "alg": "RS512"})
        with pytest.raises(OSError, match="RS512"):
            self.reader(file, Clock())
