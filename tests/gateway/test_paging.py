from __future__ import annotations

import base64
import hashlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.paging import (
    DIGEST_BYTES,
    SearchPosition,
    decode_after,
    encode_after,
    page_size,
)
from services.mesh.errors import InvalidArgument


@given(
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES),
    st.floats(allow_nan=False, allow_infinity=False),
    st.from_regex(r"[A-Za-z0-9._~-]{1,128}", fullmatch=True),
    st.integers(0, 2**62),
    st.booleans(),
    st.none() | st.integers(0, 1000),
)
def test_a_position_comes_back(
    digest: bytes, score: float, product_id: str, revision: int, ranked: bool, offset: int | None
) -> None:
    """A token of a request is read back as it was made, and by no other request."""
    position = SearchPosition(digest, score, product_id, revision, ranked, offset)
    assert (position.cursor is None) == (offset is not None)
    assert SearchPosition.decode(position.encode(), digest) == position
    with pytest.raises(InvalidArgument, match="another request"):
        SearchPosition.decode(position.encode(), bytes(each ^ 1 for each in digest))


@given(st.text(max_size=100))
def test_what_is_no_token_is_refused(token: str) -> None:
    """Anything else names the field."""
    with pytest.raises(InvalidArgument) as refused:
        SearchPosition.decode(token, bytes(DIGEST_BYTES))
    assert refused.value.field == "page_token"


@pytest.mark.parametrize(
    ("score", "revision", "flags", "rest"),
    [
        (1.0, 1, 1, b"\0"),
        (1.0, 1, 1, b"\1\0pgarbage"),
        (1.0, 1, 2, b""),
        (1.0, 1, 3, b"\0"),
        (math.nan, 1, 1, b"p"),
        (math.inf, 1, 1, b"p"),
        (1.0, -1, 1, b"p"),
    ],
)
def test_a_forged_token_is_refused(score: float, revision: int, flags: int, rest: bytes) -> None:
    """Whoever makes a token with a right checksum, but without an offset or with no score, has made none."""
    digest = bytes(DIGEST_BYTES)
    position = struct.pack(f"<{DIGEST_BYTES}sdqB", digest, score, revision, flags)
    forged = position + rest
    checksum = hashlib.blake2b(forged, digest_size=6, person=b"vitrine-page-2").digest()
    token = base64.urlsafe_b64encode(checksum + forged).rstrip(b"=").decode()
    with pytest.raises(InvalidArgument) as refused:
        SearchPosition.decode(token, digest)
    assert refused.value.field == "page_token"


def test_tokens_of_lists_and_searches_are_not_mixed_up() -> None:
    """A token belongs to its list; a changed one to nothing."""
    token = encode_after("catalogs/a", "p1")
    assert decode_after("catalogs/a", token) == "p1"
    assert not decode_after("catalogs/a", "")
    position = SearchPosition(bytes(DIGEST_BYTES), 1.0, "p", 1, ranked=True)
    for parent, wrong in (
        ("catalogs/b", token),
        ("catalogs/a", token[:-1]),
        ("catalogs/a", "A" + token[1:]),
        ("catalogs/a", position.encode()),
    ):
        with pytest.raises(InvalidArgument):
            decode_after(parent, wrong)
    with pytest.raises(InvalidArgument):
        SearchPosition.decode(encode_after("a", "b"), bytes(DIGEST_BYTES))


def test_page_sizes() -> None:
    """0 is the default, and what is out of range is refused."""
    assert page_size(0, default=10, most=20) == 10
    assert page_size(20, default=10, most=20) == 20
    for wrong in (-1, 21):
        with pytest.raises(InvalidArgument):
            page_size(wrong, default=10, most=20)
