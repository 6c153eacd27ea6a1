from __future__ import annotations

import pytest

from services.gateway.access import credential
from services.gateway.access.credential import MAX_CHARACTERS, Credential
from services.mesh.errors import Unauthenticated


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer vk_1"},
        {"authorization": "bearer vk_1"},
        {"authorization": "Bearer   vk_1 "},
        {"x-api-key": "vk_1"},
        {"x-api-key": b"vk_1"},
        {"authorization": "Bearer vk_1", "x-api-key": "vk_2"},
    ],
)
def test_a_credential_is_found(headers: dict[str, str | bytes]) -> None:
    """Either header carries it, and authorization goes first."""
    assert credential.of_headers(headers) == Credential("vk_1")


def test_none_is_none() -> None:
    """Headers without a credential have none."""
    assert credential.of_headers({"traceparent": "00-1"}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": "vk_1"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"x-api-key": ""},
        {"x-api-key": "k" * (MAX_CHARACTERS + 1)},
    ],
)
def test_what_is_no_credential_is_refused(headers: dict[str, str | bytes]) -> None:
    """Another scheme, an empty credential and one without end are Unauthenticated."""
    with pytest.raises(Unauthenticated):
        credential.of_headers(headers)


def test_its_text_does_not_show() -> None:
    """A credential that comes into a log by mistake tells nothing."""
    assert "vk_1" not in repr(Credential("vk_1"))
    assert "vk_1" not in f"{Credential('vk_1')}"
