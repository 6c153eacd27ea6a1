from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from services.gateway.http import create_app
from services.gateway.settings import GatewaySettings
from services.mesh import errors
from tests.gateway.http.conftest import Gateway
from tests.gateway.http.fakes import Flows, HttpSettings, Media, products

SEARCH = "/v1/catalogs/demo:search"
ORIGIN = "https://shop.example"


async def test_nobody_comes_in_without_a_key(gateway: Gateway) -> None:
    """A request without one is 401 and told how to ask, before its body is read or its path looked at."""
    gateway.flows.access.gatekeeper.secret = "s3cret"
    for method, path in (("POST", SEARCH), ("GET", "/v1/catalogs"), ("GET", "/v1/nothing")):
        response = await gateway.client.request(method, path, content=b"{")
        assert (response.status_code, response.json()["reason"]) == (401, "CREDENTIAL_MISSING")
        assert response.headers["www-authenticate"] == 'Bearer realm="vitrine"'
    headers = {"authorization": "Bearer s3cret"}
    assert (await gateway.client.get("/v1/catalogs", headers=headers)).status_code == 200


async def test_the_page_pictures_and_probes_need_no_key(gateway: Gateway) -> None:
    """Browsers show no key for pictures, and probes have none."""
    gateway.flows.access.gatekeeper.secret = "s3cret"
    product = gateway.flows.stock[0]
    page = ("/", "/console/", "/docs/", "/favicon.svg", "/app.webmanifest", "/icons/192.png")
    for path in (*page, "/openapi.json", "/healthz", "/readyz", product.photos[0].media_path):
        response = await gateway.client.get(path)
        assert (response.status_code, "www-authenticate" in response.headers) == (200, False), path


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PermissionDenied("needs the scope write", reason="SCOPE_MISSING"), 403),
        (errors.ResourceExhausted("too many", reason="RATE_LIMITED", retry_after_s=0.2), 429),
        (errors.Unavailable("away", reason="STORE_UNAVAILABLE"), 503),
    ],
)
async def test_who_is_refused_is_told_why(gateway: Gateway, error: errors.VitrineError, status: int) -> None:
    """What the gatekeeper says is a problem like any other."""
    gateway.flows.access.gatekeeper.error = error
    response = await gateway.client.get("/v1/catalogs")
    assert (response.status_code, response.json()["reason"]) == (status, error.reason)
    assert "www-authenticate" not in response.headers


async def test_the_address_of_the_caller_is_told(gateway: Gateway) -> None:
    """Where access is open callers are told apart by it."""
    await gateway.client.get("/v1/catalogs")
    assert gateway.flows.access.gatekeeper.peers == ["127.0.0.1"]


async def test_pages_of_other_origins_are_let_in_only_where_that_is_set(gateway: Gateway) -> None:
    """Without a setting no page of another origin reads anything, nor shows a picture."""
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    refused = await gateway.client.options(SEARCH, headers=headers)
    assert refused.status_code == 405
    response = await gateway.client.get("/v1/catalogs", headers={"origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


async def test_an_origin_that_is_set_may_call(media: Media) -> None:
    """Its pages are let in, may send keys and etags, and read errors too; others are not."""
    settings = HttpSettings(cors_origins=[ORIGIN])
    flows = Flows(media, products(media))
    flows.access.gatekeeper.secret = "s3cret"
    transport = httpx.ASGITransport(create_app(settings, flows))
    async with httpx.AsyncClient(transport=transport, base_url="http://vitrine") as client:
        asks = {
            "origin": ORIGIN,
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "authorization,if-match,x-api-key,content-type",
        }
        allowed = await client.options("/v1/catalogs/demo/products/a", headers=asks)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in allowed.headers
        problem = await client.get("/v1/catalogs", headers={"origin": ORIGIN})
        assert problem.status_code == 401
        assert problem.headers["access-control-allow-origin"] == ORIGIN
        assert "trace-id" in problem.headers["access-control-expose-headers"]
        assert problem.headers["cross-origin-resource-policy"] == "cross-origin"
        other = await client.options(SEARCH, headers={**asks, "origin": "https://elsewhere.example"})
        assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://", "null", ""])
def test_an_origin_that_no_browser_says_is_no_setting(origin: str) -> None:
    """What would never match stops the process rather than a page."""
    good = ["https://shop.example:8443", "http://[::1]:8080", "*"]
    assert GatewaySettings(cors_origins=good).cors_origins == good
    with pytest.raises(ValidationError, match="is no origin"):
        GatewaySettings(cors_origins=[origin])
