from __future__ import annotations

from tests.gateway.http.conftest import Gateway


async def test_keys(gateway: Gateway) -> None:
    """A key is created with its secret, listed without, and deleted."""
    body = {
        "display_name": "Storefront",
        "scope": "SCOPE_SEARCH",
        "catalogs": ["catalogs/demo"],
        "expire_time": "2030-01-01T00:00:00Z",
    }
    created = await gateway.client.post("/v1/apiKeys", json=body)
    assert created.status_code == 201
    assert created.json()["secret"] == "vk_secret"
    key = created.json()["api_key"]
    assert {name: key[name] for name in body} == body
    listed = (await gateway.client.get("/v1/apiKeys")).json()
    assert listed["api_keys"] == [key]
    assert "secret" not in str(listed)
    assert (await gateway.client.delete(f"/v1/{key['name']}")).json() == {}
    assert (await gateway.client.delete(f"/v1/{key['name']}")).status_code == 404


async def test_a_key_without_a_scope_is_refused(gateway: Gateway) -> None:
    """What a key allows is always said."""
    response = await gateway.client.post("/v1/apiKeys", json={"display_name": "Storefront"})
    assert (response.status_code, response.json()["field"]) == (400, "scope")
