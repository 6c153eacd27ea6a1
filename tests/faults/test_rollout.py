from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.rollout import drill
from tests.faults.scene import CALLS_PER_S, played

pytestmark = pytest.mark.faults

CALLS = 200


async def test_no_call_fails_while_everything_is_replaced(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Every pod is replaced by a new one and a replica of a shard is killed; no search fails or is late."""
    async with played(tmp_path) as scene:
        searches = scene.searches(photo_share=0.2)
        outcome = await drill.drill(
            scene.mesh, scene.client, searches, calls=CALLS, per_s=CALLS_PER_S, at_once=True
        )
    record_testsuite_property("rollout", json.dumps(outcome.figures()))
    assert outcome.failed == 0, outcome.figures()
    assert outcome.late == 0, outcome.figures()
    assert outcome.during.count >= CALLS
