"""Catalogues and generations through a gateway, and what is there of them in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from services.mesh import vectors
from services.mesh.errors import AlreadyExists
from tests.gateway.fakes import DIMENSIONS, vector_of
from tests.gateway.rigs import CATALOG, Rig
from vitrine.v1 import catalog_pb2

BUILDING = catalog_pb2.GENERATION_STATE_BUILDING
READY = catalog_pb2.GENERATION_STATE_READY
ACTIVE = catalog_pb2.GENERATION_STATE_ACTIVE


async def catalog_of(rig: Rig) -> catalog_pb2.Catalog:
    return (await rig.gateway.catalog.get_catalog(catalog_pb2.GetCatalogRequest(name=CATALOG))).catalog


async def delete_catalog(rig: Rig, *, force: bool = False) -> None:
    await rig.gateway.catalog.delete_catalog(catalog_pb2.DeleteCatalogRequest(name=CATALOG, force=force))


async def add_generation(rig: Rig) -> catalog_pb2.GenerationStatus:
    request = catalog_pb2.CreateGenerationRequest(parent=CATALOG)
    return (await rig.gateway.catalog.create_generation(request)).generation


async def activate(rig: Rig, generation: str) -> catalog_pb2.Catalog:
    request = catalog_pb2.ActivateGenerationRequest(name=f"{CATALOG}/generations/{generation}")
    return (await rig.gateway.catalog.activate_generation(request)).catalog


async def drop_generation(rig: Rig, generation: str) -> None:
    request = catalog_pb2.DeleteGenerationRequest(name=f"{CATALOG}/generations/{generation}")
    await rig.gateway.catalog.delete_generation(request)


async def states(rig: Rig) -> dict[str, int]:
    return {each.generation.id: each.state for each in (await catalog_of(rig)).generations}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again whether something holds, for at most 60 seconds."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - what is looked at knows no events
            await asyncio.sleep(0.01)


async def until_ready(rig: Rig, generation: str) -> None:
    async def is_ready() -> bool:
        return (await states(rig))[generation] != BUILDING

    await until(is_ready)


async def until_purged(rig: Rig, generation: str) -> None:
    async def is_purged() -> bool:
        return not await rig.store.covered("shop", generation)

    await until(is_purged)


@contextmanager
def idle(rig: Rig) -> Iterator[None]:
    """Let the gateway's keeper do nothing meanwhile: another one has the lease."""

    async def refused(*_: object) -> bool:
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.store, "lease", refused, raising=False)
        yield


async def created_anew(rig: Rig) -> int:
    """Create the catalogue as soon as that is possible; how often it was not."""
    refused = 0
    async with asyncio.timeout(60):
        while True:
            try:
                await rig.create()
            except AlreadyExists:
                refused += 1
                await asyncio.sleep(0.01)
            else:
                return refused


def serve(rig: Rig, digest: str) -> None:
    """Let the embedder have other models, the first ones beside them."""
    rig.embedder.digest = digest
    rig.embedder.others = ["d1"]


def check_rows(rig: Rig, generation: str, digest: str, photos: dict[str, list[bytes]]) -> None:
    """Every product has just the vectors of its photos in a generation."""
    held = {
        product_id: change
        for shard in rig.shards
        for product_id, change in shard.held["shop", generation].items()
    }
    assert held.keys() == photos.keys()
    for product_id, contents in photos.items():
        rows = held[product_id].rows.photos
        assert len(rows) == len(contents)
        for row, content in zip(rows, contents, strict=True):
            found = {vector.space: vectors.decode(vector, field="v").tolist() for vector in row.vectors}
            assert found == {space: vector_of(content, space, digest).tolist() for space in DIMENSIONS}
            assert {vector.model_digest for vector in row.vectors} == {digest}
