from __future__ import annotations

from typing import Any

from tests.gateway.http.conftest import Gateway


def asked(gateway: Gateway) -> Any:
    """The last request that reached the flow."""
    return gateway.flows.catalog.asked[-1]


async def test_a_catalogue_with_products_is_deleted_by_force(gateway: Gateway) -> None:
    """Without `force` it stays; a misspelt `force` is an error, not none."""
    refused = await gateway.client.delete("/v1/catalogs/demo")
    assert (refused.status_code, refused.json()["reason"]) == (400, "NOT_EMPTY")
    misspelt = await gateway.client.delete("/v1/catalogs/demo", params={"forse": "true"})
    assert (misspelt.status_code, misspelt.json()["field"]) == (400, "forse")
    response = await gateway.client.delete("/v1/catalogs/demo", params={"force": "true"})
    assert (response.status_code, response.json()) == (200, {})
    assert (asked(gateway).name, asked(gateway).force) == ("catalogs/demo", True)


async def test_generations(gateway: Gateway) -> None:
    """A generation is created, activated and deleted by its place in the catalogue."""
    path = "/v1/catalogs/demo/generations"
    created = await gateway.client.post(path)
    assert (created.status_code, created.json()["generation"]["state"]) == (201, "GENERATION_STATE_BUILDING")
    assert asked(gateway).parent == "catalogs/demo"
    activated = await gateway.client.post(f"{path}/g2:activate")
    assert activated.json()["catalog"]["name"] == "catalogs/demo"
    assert asked(gateway).name == "catalogs/demo/generations/g2"
    assert (await gateway.client.delete(f"{path}/g2")).json() == {}
    refused = await gateway.client.delete(f"{path}/g1")
    assert (refused.status_code, refused.json()["reason"]) == (400, "ACTIVE")


async def test_a_wrong_generation_is_refused_with_its_field(gateway: Gateway) -> None:
    """A generation id is a g and a number."""
    for method, path in (("POST", "generation2:activate"), ("DELETE", "G2")):
        response = await gateway.client.request(method, f"/v1/catalogs/demo/generations/{path}")
        assert (response.status_code, response.json()["field"]) == (400, "generation")
