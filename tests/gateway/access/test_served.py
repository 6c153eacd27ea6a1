from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest

from services.gateway import server
from services.gateway.http.app import create_app
from services.gateway.settings import GatewaySettings
from services.mesh import channel
from services.mesh.errors import PermissionDenied, Unauthenticated
from services.mesh.server import Host
from tests.gateway.access.keyed import ADMIN_KEY, ADMIN_KEY_HASH, Stubs
from tests.gateway.rigs import rigged
from vitrine.v1 import access_pb2, catalog_pb2, catalog_pb2_grpc


@asynccontextmanager
async def served(data_dir: Path) -> AsyncIterator[tuple[grpc.aio.Channel, httpx.AsyncClient]]:
    """A gateway that asks for keys, over gRPC and HTTP."""
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(rigged(data_dir, access="keys", admin_key_hash=ADMIN_KEY_HASH))
        host = Host(GatewaySettings(port=0, metrics_port=0, drain_s=0, log_level="ERROR"), "gateway")
        server.admit(host, rig.gateway.access)
        server.add_services(host, rig.gateway)
        server.add_feed(host, rig.gateway.feed)
        port = await host.start()
        connection = await stack.enter_async_context(channel.connect(f"127.0.0.1:{port}"))
        app = create_app(GatewaySettings(), rig.gateway)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        )
        yield connection, http
        host.stop()
        await host.wait()


async def test_a_limit_is_told_with_the_time_to_wait(tmp_path: Path) -> None:
    """A caller beyond their rate gets RESOURCE_EXHAUSTED and 429, and when to come again."""
    async with served(tmp_path) as (connection, http):
        admin = Stubs(connection, ADMIN_KEY)
        key = await admin.make_key(scope=access_pb2.SCOPE_SEARCH, rate_limit_per_s=0.001)
        request = catalog_pb2.ListCatalogsRequest()
        one = admin.having(key.secret)
        await one(catalog_pb2_grpc.CatalogServiceStub, "ListCatalogs", request)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await one(catalog_pb2_grpc.CatalogServiceStub, "ListCatalogs", request)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        answer = await http.get("/v1/catalogs", headers={"x-api-key": key.secret})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 1_000
        assert answer.json()["reason"] == "RATE_LIMITED"


async def test_the_feed_is_for_shards_alone(tmp_path: Path) -> None:
    """The change feed, which has every product, is for the key that shards are given and for no other."""
    async with served(tmp_path) as (connection, _):
        admin = Stubs(connection, ADMIN_KEY)
        searcher = (await admin.make_key(scope=access_pb2.SCOPE_SEARCH)).secret
        feed: catalog_pb2_grpc.FeedServiceAsyncStub = catalog_pb2_grpc.FeedServiceStub(connection)
        for key, refusal in (("", Unauthenticated), (searcher, PermissionDenied)):
            with pytest.raises(refusal):
                await anext(channel.stream(feed.Follow, catalog_pb2.FollowRequest(), key=key))
        frame = await anext(channel.stream(feed.Scan, catalog_pb2.ScanRequest(), key=ADMIN_KEY))
        assert frame.revision == 0
