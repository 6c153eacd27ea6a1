from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.mesh import vectors
from services.mesh.errors import Unavailable
from tests.consistency import judgement
from tests.consistency.calls import Gateway, product_id, product_of, text
from tests.consistency.judgement import Truth
from tests.consistency.mesh import Mesh
from tests.consistency.pictures import DIGEST, DIMENSIONS, OTHER_DIGEST, vector_of
from tests.consistency.searching import Searchers
from vitrine.v1 import catalog_pb2, search_pb2

pytestmark = pytest.mark.faults

CATALOG = "growing"
PRODUCTS = 90
BATCH = 45
PATIENCE_S = 300.0
BUILDING, READY = catalog_pb2.GENERATION_STATE_BUILDING, catalog_pb2.GENERATION_STATE_READY


@asynccontextmanager
async def embedding(mesh: Mesh, gate: Path, *digests: str) -> AsyncIterator[None]:
    """Let the embedder serve other models meanwhile; a build waits for the gate."""
    embedder = mesh.embedder
    before = list(embedder.arguments)
    try:
        await embedder.kill()
        embedder.arguments[1:] = [str(gate), *digests]
        embedder.launch()
        await mesh.ready()
        yield
    finally:
        await embedder.kill()
        embedder.arguments[:] = before
        embedder.launch()
        await mesh.ready()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + PATIENCE_S
    while not await holds():
        assert time.monotonic() < give_up, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(0.05)


async def write(gateway: Gateway, photos: dict[str, int]) -> None:
    """Write products with a picture each."""
    products = [
        product_of(CATALOG, each, photos=[photo], attributes={"version": text(str(photo))})
        for each, photo in photos.items()
    ]
    response = await gateway.upsert(CATALOG, products)
    assert not any(result.status.code for result in response.results)


async def newest(gateway: Gateway) -> catalog_pb2.GenerationStatus:
    """How far the newest generation is."""
    return (await gateway.catalog(CATALOG)).generations[-1]


async def test_another_gateway_finishes_a_generation(mesh: Mesh, tmp_path: Path) -> None:
    """A build whose gateway is killed is finished by another one, with what is written meanwhile.

    Searches through every gateway that is there find all products: before the new generation is activated,
    while it is, and when the old one is deleted right after.
    """
    builder, successor = mesh.api[-1], mesh.api[0]
    photos = {f"p{place:02d}": place for place in range(PRODUCTS)}

    def check(_: int, response: search_pb2.SearchResponse) -> None:
        assert {product_id(hit.product.name) for hit in response.hits} == photos.keys()
        assert not response.degraded

    await mesh.settle()
    async with mesh.callers() as gateways:
        through = dict(zip([process.name for process in mesh.api], gateways, strict=True))
        its, next_one = through[builder.name], through[successor.name]
        await its.create_catalog(CATALOG)
        for start in range(0, PRODUCTS, BATCH):
            await write(its, dict(list(photos.items())[start : start + BATCH]))
        gate = tmp_path / "open"
        async with embedding(mesh, gate, OTHER_DIGEST, DIGEST):
            for process in mesh.api:
                if process is not builder:
                    await process.stop()
            await its.create_generation(CATALOG)

            async def is_under_way() -> bool:
                return (await newest(its)).product_count > 0

            await until(is_under_way, "the build begins")
            await builder.kill()
            for process in mesh.api:
                if process is not builder:
                    await process.start()
            await next_one.connected()
            assert (await newest(next_one)).state == BUILDING
            await mesh.settle(besides=[builder])
            await asyncio.gather(*(gateway.connected() for gateway in gateways if gateway is not its))
            alive = [gateway for name, gateway in through.items() if name != builder.name]
            searchers = Searchers(alive, CATALOG, check, range(5))
            async with searchers.at_work():
                photos_anew = {each: photo + 1_000 for each, photo in list(photos.items())[::9]}
                await write(next_one, photos_anew)
                photos |= photos_anew
                gate.touch()

                async def is_ready() -> bool:
                    return (await newest(next_one)).state == READY

                await until(is_ready, "the build is finished")
            assert all(seen.keys() <= {"answers", "whole", "g1"} for seen in searchers.seen)
            await builder.start()
            await mesh.settle()
            await its.connected()
            searchers = Searchers(gateways, CATALOG, check, range(5))
            async with searchers.at_work():
                await searchers.more(5, like="g1")
                await _activated(next_one, "g2")
                await next_one.delete_generation(CATALOG, "g1")
                await searchers.more(20, like="g2")
        head = await mesh.settle()
    await _expect_rows(mesh, head, photos)


async def _activated(gateway: Gateway, generation: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await gateway.activate(CATALOG, generation)
        except Unavailable as error:
            assert error.reason == "SHARDS_BEHIND", error
            assert time.monotonic() < give_up
            await asyncio.sleep(0.1)


async def _expect_rows(mesh: Mesh, head: int, photos: dict[str, int]) -> None:
    """Every product has the vectors of its picture by the new models, in the store and on its shard."""
    async with mesh.store() as store, mesh.shard_stubs() as stubs:
        truth = await Truth.of(store, CATALOG)
        assert truth.head >= head

        async def is_purged() -> bool:
            return await store.covered(CATALOG, "g1") == 0

        await until(is_purged, "the rows of the old generation are removed")
        stored = await judgement.judge_projections(truth, store, generations=["g2"])
        assert stored.keys() == photos.keys()
        for each, photo in photos.items():
            rows = catalog_pb2.ProductRows.FromString(stored[each].rows["g2"])
            assert {vector.space: vector.data for vector in rows.photos[0].vectors} == {
                space: vectors.encode(
                    vector_of(photo, space, OTHER_DIGEST), space=space, model_digest=OTHER_DIGEST
                ).data
                for space in DIMENSIONS
            }
        await judgement.judge_shards(truth, stored, stubs, generations=["g2"])
