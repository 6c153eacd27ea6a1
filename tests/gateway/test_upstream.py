from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from services.gateway import upstream
from services.mesh import channel
from services.mesh.errors import Unavailable
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    made = Host(ServiceSettings(port=0, metrics_port=0, drain_s=0, log_level="ERROR"), "embedder")
    yield made
    made.stop()
    await made.wait()


async def health(connection: grpc.aio.Channel) -> str:
    """Why a service cannot do its work; empty when it can."""
    try:
        await upstream.check_health("embedder", connection, timeout_s=60)
    except Unavailable as error:
        assert error.reason == "EMBEDDER_UNAVAILABLE"
        return error.message
    return ""


async def test_a_service_is_well_when_it_says_so(host: Host) -> None:
    """A service that answers is well from when it serves until it says that it cannot."""
    port = await host.start()
    async with channel.connect(f"127.0.0.1:{port}") as connection:
        assert await health(connection) == "the embedder answers and cannot do its work for now"
        host.serving()
        assert not await health(connection)
        host.stuck()
        assert await health(connection)


async def test_nobody_is_not_well() -> None:
    """Where nothing listens, the service is away."""
    async with channel.connect("127.0.0.1:1") as connection:
        assert (await health(connection)).startswith("the embedder is away")
