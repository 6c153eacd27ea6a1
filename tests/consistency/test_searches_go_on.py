from __future__ import annotations

import pytest

from tests.consistency.calls import looks_like, product_of, text
from tests.consistency.mesh import Mesh, others
from tests.consistency.processes import Mongo, Process
from tests.consistency.searching import Searchers
from vitrine.v1 import search_pb2

pytestmark = pytest.mark.faults

CATALOG = "steady"
PRODUCTS = 30
PICTURES = range(1_000, 1_006)
# While something is away, a search of a gateway takes as long as it may take to be sure of that.
ANSWERS = 8

Ranked = list[tuple[str, float]]


async def test_searches_go_on_whatever_is_killed(mesh: Mesh) -> None:
    """While Redis, MongoDB or a gateway is away, the gateways that are left give the same hits and scores.

    Without a store they may lack titles, and say so; nobody is told of an error. All is whole afterwards.
    """
    await mesh.settle()
    async with mesh.callers() as gateways:
        await gateways[0].create_catalog(CATALOG)
        await gateways[0].upsert(
            CATALOG,
            [
                product_of(
                    CATALOG, f"p{place}", title=f"title {place}", photos=[place], attributes={"n": text("1")}
                )
                for place in range(PRODUCTS)
            ],
        )
        await mesh.settle()
        due: dict[int, Ranked] = {}
        for gateway in gateways:
            for picture in PICTURES:
                response = await gateway.search(looks_like(CATALOG, picture))
                assert not response.degraded
                assert due.setdefault(picture, _ranked(response)) == _ranked(response)
                assert len(response.hits) == PRODUCTS

        def check(picture: int, response: search_pb2.SearchResponse) -> None:
            assert _ranked(response) == due[picture]
            assert response.degraded in ([], ["metadata"])
            for hit in response.hits:
                title = f"title {hit.product.name.rpartition('/p')[2]}"
                assert hit.product.title in ((title,) if not response.degraded else (title, ""))

        for part in (*mesh.api, *mesh.backend.engines):
            left = others(mesh.api, part) if isinstance(part, Process) else mesh.api
            callers = [gateways[mesh.api.index(process)] for process in left]
            # The one that was killed before is back, and connections to it come back later.
            await mesh.ready()
            for gateway in callers:
                await gateway.connected()
            searchers = Searchers(callers, CATALOG, check, PICTURES)
            async with searchers.at_work():
                await searchers.more(ANSWERS)
                await part.kill()
                await searchers.more(ANSWERS)
                if not isinstance(part, Mongo):
                    assert not any(seen["degraded"] for seen in searchers.seen)
                await part.start()
                await searchers.more(ANSWERS, like="whole")


def _ranked(response: search_pb2.SearchResponse) -> Ranked:
    return [(hit.product.name, hit.score) for hit in response.hits]
