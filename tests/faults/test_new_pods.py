from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.rollout.callers import Callers, Calls
from benchmarks.rollout.deployment import Component, Deployment, shard_name
from benchmarks.rollout.pods import Pod
from tests.consistency.pictures import picture
from tests.faults.scene import CALLS_PER_S, PRODUCTS, played
from vitrine.client.products import Photo, Product

pytestmark = pytest.mark.faults

# What is promised is 10 s, and 300 s are what it would take by itself; the machine of a test may stall.
LIMIT_S = 60.0

# The method by which each component is called, of which one hop is new to a pod.
METHODS = {
    "embedder.test": "EmbedImages",
    "ranker.test": "Rank",
    shard_name(0): "SearchVectors",
    shard_name(1): "SearchVectors",
    "gateway.test": "Search",
}
_POLL_S = 0.1


async def test_new_pods_get_calls_soon_and_old_ones_leave_unnoticed(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A second pod of each service gets calls within seconds of its name; when the first goes none fails.

    The shards follow the second feed as soon as the first has ended.
    """
    calls = Calls()
    done = asyncio.Event()
    async with played(tmp_path, replicas=1) as scene:
        load = Callers(scene.client, scene.searches(photo_share=0.5), per_s=CALLS_PER_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.call(calls, done.is_set))
            took_s = await _until_called(scene.mesh)
            took_s["feed.test"] = await _until_followed(scene.mesh)
            await _remove_old(scene.mesh)
            # What is written now comes to the shards by the second feed alone.
            written = await scene.client.upsert([Product("late", photos=[Photo(picture(PRODUCTS))])])
            found = await scene.client.search(product="late", min_revision=written.revision)
            done.set()
    assert len(found.hits) > 0
    record_testsuite_property("new_pods_s", json.dumps(took_s))
    assert not calls.failures, calls.failures
    assert calls.late == 0


async def _until_called(mesh: Deployment) -> dict[str, float]:
    """Start a second pod of each service: the time from its name to its first call, in seconds."""
    components = [component for component in mesh.components if component.name in METHODS]
    took_s = await asyncio.gather(*(_added(mesh, component) for component in components))
    return {component.name: each_s for component, each_s in zip(components, took_s, strict=True)}


async def _added(mesh: Deployment, component: Component) -> float:
    pod = await mesh.add(component)
    return await _first_call(pod, METHODS[component.name])


async def _until_followed(mesh: Deployment) -> float:
    """Replace the feed's pod: the time from its end to a shard's call of the new one, in seconds."""
    feed = next(component for component in mesh.components if component.name == "feed.test")
    [old] = mesh.pods[feed.name]
    new = await mesh.add(feed)
    await mesh.remove(feed, old)
    return await _first_call(new, "Follow")


async def _remove_old(mesh: Deployment) -> None:
    removals = [
        mesh.remove(component, mesh.pods[component.name][0])
        for component in mesh.components
        if component.name in METHODS
    ]
    await asyncio.gather(*removals)


async def _first_call(pod: Pod, method: str) -> float:
    start_s = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        while not await asyncio.to_thread(pod.requests, method):  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(_POLL_S)
    return round(time.monotonic() - start_s, 2)
