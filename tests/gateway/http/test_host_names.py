from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException

from services.gateway.http import host_names
from services.gateway.http.app import create_app
from tests.gateway.http.fakes import Flows, HttpSettings, Media


def is_answered(host: str, names: frozenset[str] | None) -> bool:
    try:
        host_names.check(host, names)
    except HTTPException as error:
        assert error.status_code == HTTPStatus.MISDIRECTED_REQUEST
        return False
    return True


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80"]
)
def test_this_machine_is_reached_by_its_own_names(host: str) -> None:
    """An open gateway on loopback answers as localhost and under the addresses of loopback."""
    assert is_answered(host, host_names.allowed([], listens_on="127.0.0.1", is_open=True))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"],
)
def test_another_name_does_not_reach_an_open_gateway_on_loopback(host: str) -> None:
    """A name of another site that leads to this machine is answered with 421."""
    assert not is_answered(host, host_names.allowed([], listens_on="127.0.0.1", is_open=True))


@pytest.mark.parametrize(("listens_on", "is_open"), [("0.0.0.0", True), ("127.0.0.1", False), ("::", True)])
def test_what_is_protected_otherwise_answers_under_any_name(listens_on: str, is_open: bool) -> None:
    """Names are not looked at where keys are asked for, or where others than this machine may call."""
    assert is_answered("shop.example", host_names.allowed([], listens_on=listens_on, is_open=is_open))


def test_names_can_be_said() -> None:
    """With names in the settings the gateway answers under those and its own, whatever it listens on."""
    names = host_names.allowed(["shop.example"], listens_on="0.0.0.0", is_open=False)
    assert [is_answered(host, names) for host in ("Shop.example:443", "other.example", "127.0.0.1")] == [
        True,
        False,
        True,
    ]


async def test_a_rebound_name_reaches_nothing(tmp_path: Path) -> None:
    """Neither the API nor the page answers a browser that was led here by another site's name."""
    app = create_app(HttpSettings(http_names=()), Flows(Media(tmp_path)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://evil.example"
    ) as client:
        for path in ("/", "/v1/catalogs", "/openapi.json"):
            answer = await client.get(path)
            assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
            assert answer.json()["title"].lower() == "misdirected request"
