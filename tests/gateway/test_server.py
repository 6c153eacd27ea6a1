from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from services.gateway import server
from services.gateway.settings import GatewaySettings
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.sqlite import SqliteStore
from services.mesh import channel
from services.mesh.server import Host
from tests.gateway.fakes import FakeEmbedder, hosted
from tests.gateway.store_suite import commit, deleted
from tests.ports import reserved
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, embedder_pb2, embedder_pb2_grpc

TIMEOUT_S = 60
NOBODY = "127.0.0.1:1"


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, **settings: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """A gateway as its process runs it, until the end of the block; then drained."""
    started: asyncio.Future[tuple[Host, int]] = asyncio.get_running_loop().create_future()

    class Seen(Host):
        async def start(self) -> int:
            port = await super().start()
            started.set_result((self, port))
            return port

    monkeypatch.setattr(server, "Host", Seen)
    told = GatewaySettings(
        **{
            "port": 0,
            "http_port": 0,
            "metrics_port": 0,
            "data_dir": data_dir,
            "embedder": NOBODY,
            "ranker": NOBODY,
            "shards": NOBODY,
            "drain_s": 0,
            "embed_timeout_s": TIMEOUT_S,
            **settings,
        }
    )
    main = asyncio.create_task(server.main(told))
    await asyncio.wait((main, started), return_when=asyncio.FIRST_COMPLETED)
    if main.done():
        await main
    host, port = await started
    async with channel.connect(f"127.0.0.1:{port}") as connected:
        try:
            yield connected
        finally:
            host.stop()
            await main


def followed(connected: grpc.aio.Channel) -> AsyncIterator[catalog_pb2.FollowResponse]:
    """Frames of the feed from the beginning."""
    stub = catalog_pb2_grpc.FeedServiceStub(connected)
    return channel.stream(stub.Follow, catalog_pb2.FollowRequest())


async def serves_catalogues(connected: grpc.aio.Channel) -> bool:
    stub = catalog_pb2_grpc.CatalogServiceStub(connected)
    return await _is_served(stub.ListCatalogs(catalog_pb2.ListCatalogsRequest(), timeout=TIMEOUT_S))


async def serves_the_feed(connected: grpc.aio.Channel) -> bool:
    stub = catalog_pb2_grpc.FeedServiceStub(connected)
    return await _is_served(stub.Scan(catalog_pb2.ScanRequest(), timeout=TIMEOUT_S).read())


async def _is_served(call: Any) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        return False
    return True


async def test_a_gateway_for_the_feed_serves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs none of the other services, has no HTTP, and sends what is in the store."""
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "catalog.db"))
    await commit(store, deleted("a"))
    await store.close()
    with reserved() as http_port:
        async with running(monkeypatch, tmp_path, role="feed", http_port=http_port) as connected:
            assert not await serves_catalogues(connected)
            assert await serves_the_feed(connected)
            frames = followed(connected)
            assert [change.product_id for change in (await anext(frames)).changes] == ["a"]
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", http_port)


async def test_gateways_share_the_work_on_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answers callers and sends no feed; what it writes comes from the other, which does only that."""
    service = embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"]

    def register(of: Any) -> None:
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(FakeEmbedder(), of)

    async with (
        hosted("embedder", service, register) as embedder,
        running(monkeypatch, tmp_path, role="api", embedder=embedder) as api,
        running(monkeypatch, tmp_path, role="feed", feed_heartbeat_s=60) as feed,
    ):
        assert await serves_catalogues(api)
        assert not await serves_the_feed(api)
        frames = followed(feed)
        assert (await anext(frames)).revision == 0
        create = catalog_pb2.CreateCatalogRequest(catalog_id="shop")
        await catalog_pb2_grpc.CatalogServiceStub(api).CreateCatalog(create, timeout=TIMEOUT_S)
        (change,) = (await anext(frames)).changes
        assert (change.catalog, list(change.catalog_generations.generations)) == ("shop", ["g1"])


async def test_a_gateway_does_everything_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One gateway alone answers callers, has HTTP and sends the feed."""
    with reserved() as http_port:
        async with running(monkeypatch, tmp_path, http_port=http_port) as connected:
            assert await serves_catalogues(connected)
            assert await serves_the_feed(connected)
            _, writer = await asyncio.open_connection("127.0.0.1", http_port)
            writer.close()
            await writer.wait_closed()
