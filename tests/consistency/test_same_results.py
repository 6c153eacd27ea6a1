from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.mesh import vectors
from tests.consistency.calls import Gateway, looks_like, number, product_id, product_of, text
from tests.consistency.mesh import Mesh
from tests.consistency.pictures import DIGEST, vector_of
from vitrine.v1 import catalog_pb2, common_pb2, search_pb2, vectorsearch_pb2

pytestmark = pytest.mark.faults

CATALOG = "same"
PRODUCTS = 60
WORDS = ("Shoes", "Shirts", "Bags")
COLOURS = ("Red", "Blue", "Green", "Black")


def _product(place: int) -> catalog_pb2.Product:
    attributes = {"colour": text(COLOURS[place % 4]), "price": number(10.5 * place)}
    if place % 5:
        attributes["type"] = text(WORDS[place % 3])
    return product_of(
        CATALOG,
        f"P{place:02d}" + ("-x" if place % 7 else ".y"),
        title=f"{COLOURS[place % 4]} {WORDS[place % 3]} nº {place}",
        photos=[place, 500 + place] if place % 3 else [place],
        attributes=attributes,
    )


async def fill(gateway: Gateway) -> None:
    """The same writes, one after the other."""
    await gateway.create_catalog(CATALOG)
    products = [_product(place) for place in range(PRODUCTS)]
    for start in range(0, PRODUCTS, 25):
        await gateway.upsert(CATALOG, products[start : start + 25])
    for product in products[::9]:
        changed = product_of(
            CATALOG, product_id(product.name), title="anew", attributes={"colour": text("Pink")}
        )
        await gateway.update(changed, ["title", "attributes.colour"])
    for product in products[4::11]:
        await gateway.delete(product.name)
    await gateway.upsert(CATALOG, [products[4]])


def searches() -> Iterator[search_pb2.SearchRequest]:
    """Every kind of search that needs no words."""
    for place in (0, 3, 700):
        yield looks_like(CATALOG, place, k=20)
    plain = looks_like(CATALOG, 11, k=15)

    def alike(**fields: object) -> search_pb2.SearchRequest:
        request = search_pb2.SearchRequest()
        request.CopyFrom(plain)
        request.MergeFrom(search_pb2.SearchRequest(**fields))  # type: ignore[arg-type]  # Any of its fields.
        return request

    yield alike(explain=True, facets=["colour", "type", "price"])
    yield alike(profile="same_style")
    yield alike(profile="colour", min_similarity=20)
    yield alike(diversity=0.4)
    yield alike(group_by=vectorsearch_pb2.GroupBy(attribute="colour", size=2))
    for condition in (
        common_pb2.Condition(attribute="colour", equals=common_pb2.AttributeValue(text="Red")),
        common_pb2.Condition(attribute="price", range=common_pb2.NumberRange(min=50, max=300)),
        common_pb2.Condition(attribute="type", exists=False),
        common_pb2.Condition(attribute="type", exists=True, negated=True),
    ):
        clause = common_pb2.Clause(any_of=[condition])
        yield alike(filter=common_pb2.Filter(all_of=[clause]), facets=["colour"])
    product = search_pb2.SearchRequest(catalog=plain.catalog, k=12, max_staleness=plain.max_staleness)
    product.parts.add(product="P01-x")
    product.parts.add(product="P02-x", weight=-0.5)
    yield product
    vector = vectors.encode(vector_of(900, "triplet", DIGEST), space="triplet", model_digest=DIGEST)
    by_vector = search_pb2.SearchRequest(catalog=plain.catalog, max_staleness=plain.max_staleness)
    by_vector.parts.add(vector=vector)
    yield by_vector


async def answers(gateway: Gateway, request: search_pb2.SearchRequest) -> list[search_pb2.SearchResponse]:
    """The first three pages, but for what tells of time."""
    found = []
    for _ in range(3):
        response = await gateway.search(request)
        request.page_token = response.next_page_token
        # A token holds a revision, and that counts what else was written on the mesh.
        response.next_page_token = "more" if response.next_page_token else ""
        for name in ("stages", "query_id", "revision", "cache"):
            response.ClearField(name)
        for hit in response.hits:
            _timeless(hit.product)
        found.append(response)
        if not request.page_token:
            break
    return found


async def listed(gateway: Gateway) -> list[catalog_pb2.Product]:
    """All products in pages, but for what tells of time."""
    found: list[catalog_pb2.Product] = []
    token = ""
    while True:
        page = await gateway.page(CATALOG, size=17, token=token)
        found += [_timeless(product) for product in page.products]
        token = page.next_page_token
        if not token:
            return found


def _timeless(product: catalog_pb2.Product) -> catalog_pb2.Product:
    product.ClearField("revision")
    product.ClearField("update_time")
    return product


async def test_both_pairs_of_stores_give_the_same_results(on_sqlite: Mesh, on_mongodb: Mesh) -> None:
    """After the same writes, lists, hits, scores, facets, pages and etags are the same on both."""
    both = (on_sqlite, on_mongodb)
    found = []
    for mesh in both:
        await mesh.settle()
        async with mesh.callers() as gateways:
            await fill(gateways[0])
            await mesh.settle()
            catalog = await gateways[-1].catalog(CATALOG)
            results = [await answers(gateways[-1], request) for request in searches()]
            found.append((await listed(gateways[-1]), catalog.product_count, catalog.photo_count, results))
    of_sqlite, of_mongodb = found
    assert of_sqlite[:3] == of_mongodb[:3]
    for request, one, other in zip(searches(), of_sqlite[3], of_mongodb[3], strict=True):
        assert one == other, request
    assert sum(bool(pages[0].hits) for pages in of_sqlite[3]) == len(of_sqlite[3])
