"""What callers and probes see of an embedder whose threads stall or die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.embedder.engine import Vectors
from services.embedder.images import Pixels
from services.mesh.channel import call
from services.mesh.errors import Unavailable
from services.mesh.status import from_item
from tests.embedder.drawings import clock, encoded
from tests.embedder.engines import MeanColourEngine
from tests.embedder.servers import running
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

pytestmark = pytest.mark.faults

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class MortalEngine(MeanColourEngine):
    """Kills the thread that asks it while `deadly`."""

    deadly = False

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        if self.deadly:
            raise SystemExit
        return super().embed_images(images, names)


@dataclass(frozen=True, slots=True)
class Rig:
    """An embedder's server in this process, and what probes hear of it."""

    engine: MortalEngine
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub
    health: AsyncIterator[health_pb2.HealthCheckResponse]

    async def told(self) -> int:
        """What health says next."""
        response = await asyncio.wait_for(anext(self.health), 60)
        return response.status

    async def embed(self) -> embedder_pb2.Embedding:
        request = embedder_pb2.EmbedImagesRequest(images=[common_pb2.Image(content=encoded(clock()))])
        response = await call(self.stub.EmbedImages, request, timeout_s=60)
        return response.embeddings[0]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    engine = MortalEngine()
    async with running(engine) as server:
        probe: Any = health_pb2_grpc.HealthStub(server.channel)
        health = probe.Watch(health_pb2.HealthCheckRequest(service="vitrine.v1.EmbedderService"))
        yield Rig(engine, server.stub, aiter(health))
        health.cancel()


async def test_health_turns_while_a_thread_stalls_and_recovers_by_itself(rig: Rig) -> None:
    """A pass that does not end makes the server NOT_SERVING; when it ends, its caller gets its vector."""
    assert await rig.told() == SERVING
    rig.engine.gate.clear()
    waiting = asyncio.create_task(rig.embed())
    assert await rig.told() == NOT_SERVING
    rig.engine.gate.set()
    assert (await waiting).vectors
    assert await rig.told() == SERVING
    assert (await rig.embed()).vectors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_died_is_replaced(rig: Rig) -> None:
    """The callers of its batch hear UNAVAILABLE, health turns and comes back, and work goes on."""
    assert await rig.told() == SERVING
    rig.engine.deadly = True
    assert isinstance(from_item((await rig.embed()).status), Unavailable)
    rig.engine.deadly = False
    assert [await rig.told(), await rig.told()] == [NOT_SERVING, SERVING]
    assert (await rig.embed()).vectors
