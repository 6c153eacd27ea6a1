from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable

import pytest

from tests.consistency import chaos, judgement
from tests.consistency.judgement import Truth
from tests.consistency.mesh import Mesh
from tests.consistency.traffic import PRODUCTS, Traffic

pytestmark = pytest.mark.faults

# A longer or another run than the one that everybody makes.
SEED = int(os.environ.get("CONSISTENCY_SEED", "1"))
SECONDS = float(os.environ.get("CONSISTENCY_SECONDS", "15"))
# Some time at the end in which nothing is killed.
CALM_S = 2.0


async def test_no_acknowledged_write_is_lost(
    mesh: Mesh, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Whatever is killed while many write, read and search, all that they were told is true.

    Acknowledged writes are in the log where they were said to be, once; what was read is as of what had been
    acknowledged, or later; a search sees all up to its revision; nobody is told UNKNOWN or INTERNAL. In the
    end the log has no gap, and the projections and every shard's rows are what it leads to.
    """
    async with mesh.callers() as gateways:
        await gateways[0].create_catalog("chaos")
        traffic = Traffic("chaos", gateways, SEED)
        async with traffic.flowing():
            kills = await chaos.wreak(mesh.parts, seconds=SECONDS, chance=random.Random(SEED))
            await chaos.wreak((), seconds=CALM_S, chance=random.Random(SEED))
            await traffic.everywhere()
        head = await mesh.settle()
        for gateway in gateways:
            await gateway.connected()
            await traffic.look(gateway, floor=head)
    async with mesh.store() as store:
        truth = await Truth.of(store, "chaos")
        assert truth.head == head
        judgement.judge(truth, traffic.history)
        stored = await judgement.judge_projections(truth, store)
    async with mesh.shard_stubs() as stubs:
        await judgement.judge_shards(truth, stored, stubs)
    events = dict(sorted(traffic.history.events.items()))
    counts = {
        "kills": dict(sorted(kills.items())),
        "events": events,
        "reads": len(traffic.history.reads),
        "searches": len(traffic.history.searches),
        "revisions": head,
    }
    record_testsuite_property(f"consistency on {mesh.backend.name}", json.dumps(counts))
    sys.stdout.write(json.dumps(counts) + "\n")
    assert len(truth.courses) == PRODUCTS
