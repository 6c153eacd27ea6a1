from __future__ import annotations

from pathlib import Path

import pytest

from services.mesh.errors import InvalidArgument
from vitrine.client.connection import TlsFiles, authorization, credentials


def test_plain_text_has_no_credentials() -> None:
    """Without TLS there is nothing to encrypt with, with it there is, from public authorities or a file."""
    assert credentials(tls=False) is None
    assert credentials(tls=True) is not None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (TlsFiles(ca="nowhere.pem"), "nowhere.pem: No such file"),
        (TlsFiles(certificate=Path("a.pem")), "given together"),
        (TlsFiles(key="a.key"), "given together"),
    ],
)
def test_files_that_cannot_be_used_are_named(files: TlsFiles, message: str) -> None:
    """A file that is missing, or half of a pair, is told before any call."""
    with pytest.raises(InvalidArgument, match=message):
        credentials(tls=files)


def test_a_key_is_sent_as_a_bearer() -> None:
    """The metadata says who calls; without a key there is none."""
    assert authorization("vk_a") == (("authorization", "Bearer vk_a"),)
    assert authorization(None) == authorization("") == ()


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_what_no_header_can_carry_is_no_key(key: str) -> None:
    """It is refused in words of ours, and not shown."""
    with pytest.raises(InvalidArgument) as caught:
        authorization(key)
    assert key not in str(caught.value)
