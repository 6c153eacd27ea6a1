from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from services.mesh.errors import NotFound
from tests.consistency.calls import Gateway, looks_like, product_id, product_of, text
from tests.consistency.mesh import Mesh

pytestmark = pytest.mark.faults

STEADY, RESTLESS = 40, 20
PAGE = 7
PASSES = 6
WORDS = ("Shoes", "Shirts", "Bags")

Page = tuple[list[str], str]
"""Ids of products, and the token of the next page."""

_catalogs = (f"paged-{number}" for number in itertools.count())


def names(kind: str, count: int) -> list[str]:
    """Ids of products that stay as they are (`s`) or do not (`r`), each after another of the other kind."""
    return [f"p{number:02d}{kind}" for number in range(count)]


async def filled(gateway: Gateway) -> str:
    """A catalogue with products that stay and others that do not."""
    catalog = next(_catalogs)
    await gateway.create_catalog(catalog)
    ids = names("s", STEADY) + names("r", RESTLESS)
    response = await gateway.upsert(
        catalog,
        [
            product_of(catalog, each, title=each, photos=[place], attributes={"type": text(WORDS[place % 3])})
            for place, each in enumerate(ids)
        ],
    )
    assert not any(result.status.code for result in response.results)
    return catalog


@asynccontextmanager
async def restless(gateways: Sequence[Gateway], catalog: str, seed: int) -> AsyncIterator[None]:
    """Write and delete the products that do not stay meanwhile."""

    async def write(chance: random.Random) -> None:
        while True:
            one, gateway = chance.choice(names("r", RESTLESS)), chance.choice(gateways)
            if chance.random() < 0.7:
                attributes = {"type": text(chance.choice(WORDS))}
                photos = [chance.randrange(1_000)]
                product = product_of(catalog, one, photos=photos, attributes=attributes)
                response = await gateway.upsert(catalog, [product])
                assert not response.results[0].status.code
            else:
                with suppress(NotFound):
                    await gateway.delete(f"catalogs/{catalog}/products/{one}")

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(random.Random(seed + caller))) for caller in range(2)]
        try:
            yield
        finally:
            for writer in writers:
                writer.cancel()


async def paged(ask: Callable[[str], Awaitable[Page]]) -> list[str]:
    """The ids on all pages, in order."""
    found, token = await ask("")
    while token:
        page, token = await ask(token)
        found += page
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_lists_neither_repeat_nor_skip(mesh: Mesh, seed: int) -> None:
    """Of products that nobody touches each is listed once, in order, whatever is written between pages."""
    chance = random.Random(seed)
    await mesh.settle()
    async with mesh.callers() as gateways:
        catalog = await filled(gateways[0])

        async def ask(token: str) -> Page:
            page = await chance.choice(gateways).page(catalog, size=PAGE, token=token)
            return [product_id(each.name) for each in page.products], page.next_page_token

        async with restless(gateways, catalog, seed):
            for _ in range(PASSES):
                found = await paged(ask)
                assert found == sorted(set(found))
                assert set(names("s", STEADY)) <= set(found)


@pytest.mark.parametrize("staleness_s", [0.0, 2.0])
@pytest.mark.parametrize("query", ["photo", "looks", "product"])
async def test_searches_neither_repeat_nor_skip(mesh: Mesh, query: str, staleness_s: float) -> None:
    """Of products that nobody touches each is found once, whatever is written between pages.

    The search is for what is like a photo, of which the ranker believes what its neighbours are, for what
    looks like it in one space, or for what is like a product of a stated type.
    """
    chance = random.Random(7)
    await mesh.settle()
    async with mesh.callers() as gateways:
        catalog = await filled(gateways[0])
        await mesh.settle()

        async def ask(token: str) -> Page:
            request = looks_like(catalog, 5_000 + turn, k=PAGE, staleness_s=staleness_s)
            if query == "product":
                request.parts[0].product = asked
            elif query == "looks":
                request.profile = "triplet"
            request.page_token = token
            response = await chance.choice(gateways).search(request)
            assert not response.degraded
            return [product_id(hit.product.name) for hit in response.hits], response.next_page_token

        async with restless(gateways, catalog, seed=7):
            for turn in range(PASSES):
                asked = names("s", STEADY)[turn]
                due = [each for each in names("s", STEADY) if query != "product" or each != asked]
                assert sorted(each for each in await paged(ask) if each.endswith("s")) == due
