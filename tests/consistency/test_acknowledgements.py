from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from services.gateway.store.interface import Entry
from services.mesh.errors import Unavailable
from tests.consistency.calls import looks_like, product_id, product_of
from tests.consistency.mesh import Mesh
from tests.gateway.rigs import item, rigged

pytestmark = pytest.mark.faults

CATALOG = "told"


async def test_a_revision_told_by_any_gateway_sees_what_is_there(mesh: Mesh) -> None:
    """What a gateway finds as asked for comes with a revision that sees it, whoever has written it."""
    await mesh.settle()
    product = product_of(CATALOG, "p1", title="first", photos=[1])
    async with mesh.callers() as gateways:
        one, other = gateways[0], gateways[-1]
        await one.create_catalog(CATALOG)
        for title in ("first", "second", "third"):
            product.title = title
            written = await one.upsert(CATALOG, [product])
            again = await other.upsert(CATALOG, [product])
            assert again.results[0].unchanged
            assert again.revision >= written.revision
            assert (await other.catalog(CATALOG)).revision >= written.revision
            response = await other.search(looks_like(CATALOG, 1, min_revision=again.revision))
            assert [hit.product.title for hit in response.hits] == [title]
            deleted = await one.delete(product.name)
            gone = await other.delete(product.name, allow_missing=True)
            assert gone >= deleted
            response = await other.search(looks_like(CATALOG, 1, min_revision=gone))
            assert product_id(product.name) not in {product_id(hit.product.name) for hit in response.hits}


async def test_a_write_that_was_left_halfway_is_told_of_once_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks again for a write that is in the log and nowhere else is answered when it is everywhere."""

    async def dies(_: Entry) -> None:
        raise Unavailable("killed between the log and its projections")

    async with rigged(tmp_path) as rig:
        await rig.create()
        request_id = str(uuid.uuid4())
        monkeypatch.setattr(rig.store, "apply", dies, raising=False)
        with pytest.raises(Unavailable):
            await rig.upsert(item("p1", title="first"), request_id=request_id)
        monkeypatch.undo()
        answer = await rig.upsert(item("p1", title="first"), request_id=request_id)
        assert (await rig.get("p1")).revision == answer.revision
