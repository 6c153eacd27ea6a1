"""The gateway's RPCs under protos that nobody would send.

`VITRINE_FUZZ_REQUESTS` says how many each RPC gets of each kind, and `VITRINE_FUZZ_SEED` which.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import pytest
from google.protobuf import symbol_database
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from services.gateway.server import add_feed, add_services
from services.mesh import status
from services.mesh.channel import connect
from services.mesh.errors import VitrineError
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from tests.faults.messages import Maker
from tests.gateway.fakes import photo
from tests.gateway.rigs import CATALOG, Rig, item, rigged
from vitrine.v1 import access_pb2, catalog_pb2, common_pb2, queries_pb2, search_pb2, status_pb2

pytestmark = pytest.mark.faults

REQUESTS = int(os.environ.get("VITRINE_FUZZ_REQUESTS", "25"))
SEED = int(os.environ.get("VITRINE_FUZZ_SEED", "1"))
AT_ONCE = 16
# A request may ask to wait for a revision that never comes; one that does not has the second of these.
SHORT_S, LONG_S = 3.0, 60.0

PRODUCTS = 6
PRODUCT = f"{CATALOG}/products/p1"
STRINGS = (
    CATALOG,
    CATALOG,
    "catalogs/none",
    PRODUCT,
    f"{CATALOG}/products/new",
    "p1",
    "p2",
    "shop",
    f"{CATALOG}/generations/g1",
    f"{CATALOG}/generations/g2",
    "g1",
    "colour",
    "price",
    "inferred.gender",
    "red",
    "similar",
    "clip",
    "resnet50",
    "title",
    "attributes.colour",
    "title,photos",
    "0123456789abcdef",
    "apiKeys/abcdefgh",
    "http://127.0.0.1:1/a.jpg",
    "file:///etc/passwd",
    str(UUID(int=7)),
)
_SEARCH = search_pb2.SearchRequest(
    catalog=CATALOG,
    parts=[search_pb2.QueryPart(product="p1"), search_pb2.QueryPart(text="red", weight=-0.5)],
    filter=common_pb2.Filter(
        all_of=[
            common_pb2.Clause(
                any_of=[
                    common_pb2.Condition(attribute="colour", equals=common_pb2.AttributeValue(text="red")),
                    common_pb2.Condition(attribute="colour", exists=True),
                ]
            )
        ]
    ),
    k=3,
    facets=["colour"],
    explain=True,
)
_ITEM = item("p3", photos=[photo(3)], title="Shoes", brand="a", price=9.5)
GOOD: tuple[Message, ...] = (
    _SEARCH,
    search_pb2.BatchSearchRequest(catalog=CATALOG, requests=[_SEARCH, _SEARCH]),
    catalog_pb2.CreateCatalogRequest(catalog_id="other"),
    catalog_pb2.GetCatalogRequest(name=CATALOG),
    catalog_pb2.ListCatalogsRequest(page_size=1),
    catalog_pb2.CreateGenerationRequest(parent=CATALOG),
    catalog_pb2.ActivateGenerationRequest(name=f"{CATALOG}/generations/g1"),
    catalog_pb2.BatchUpsertProductsRequest(catalog=CATALOG, products=[_ITEM, item("p4", title="Bag")]),
    catalog_pb2.CreateProductRequest(parent=CATALOG, product_id="new", product=_ITEM.product),
    catalog_pb2.UpdateProductRequest(product=catalog_pb2.Product(name=PRODUCT, title="Changed")),
    catalog_pb2.GetProductRequest(name=PRODUCT),
    catalog_pb2.ListProductsRequest(parent=CATALOG, page_size=2),
    queries_pb2.RecordFeedbackRequest(
        catalog=CATALOG, query_id="0123456789abcdef", product="p1", kind=queries_pb2.FEEDBACK_KIND_CLICK
    ),
    queries_pb2.ListQueriesRequest(parent=CATALOG),
    queries_pb2.QueryStatsRequest(parent=CATALOG),
    access_pb2.CreateApiKeyRequest(
        api_key=access_pb2.ApiKey(display_name="a", scope=access_pb2.SCOPE_SEARCH, catalogs=[CATALOG])
    ),
    access_pb2.ListApiKeysRequest(page_size=1),
    status_pb2.GetStatusRequest(),
    status_pb2.GetModelsRequest(),
    catalog_pb2.FollowRequest(after_revision=1, buckets=[1, 2]),
    catalog_pb2.ScanRequest(buckets=[1, 2]),
    # What these are about is gone afterwards.
    access_pb2.DeleteApiKeyRequest(name="apiKeys/abcdefgh"),
    catalog_pb2.DeleteProductRequest(name=PRODUCT),
    catalog_pb2.DeleteGenerationRequest(name=f"{CATALOG}/generations/g1"),
    catalog_pb2.DeleteCatalogRequest(name=CATALOG, force=True),
)
METHODS: dict[str, MethodDescriptor] = {
    method.input_type.full_name: method
    for module in (search_pb2, catalog_pb2, queries_pb2, access_pb2, status_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# What a server says that was surprised, or does not know what it was asked.
SURPRISED = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
}


@asynccontextmanager
async def called(rig: Rig) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a rig's gateway."""
    host = Host(ServiceSettings(port=0, metrics_port=0, drain_s=0, log_level="ERROR"), "gateway")
    add_services(host, rig.gateway)
    add_feed(host, rig.gateway.feed)
    port = await host.start()
    host.serving()
    waiting = asyncio.create_task(host.wait())
    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        host.stop()
        await waiting


async def ask(channel: grpc.aio.Channel, request: Message, *, timeout_s: float = SHORT_S) -> str:
    """Send a request to its RPC, of a stream take the first answer; the code.

    Raises AssertionError with the request when the server was surprised, or gives no reason.
    """
    method = METHODS[request.DESCRIPTOR.full_name]
    assert method.containing_service is not None
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = symbol_database.Default().GetSymbol(method.output_type.full_name)
    told: dict[str, Any] = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": answer.FromString,
    }
    try:
        if method.server_streaming:
            call = channel.unary_stream(path, **told)(request, timeout=timeout_s)
            await call.read()
            call.cancel()
        else:
            await channel.unary_unary(path, **told)(request, timeout=timeout_s)
    except (grpc.aio.AioRpcError, VitrineError) as error:
        known = status.from_rpc_error(error) if isinstance(error, grpc.aio.AioRpcError) else error
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else status.code_of(error)
        assert code not in SURPRISED, (path, code, known.message, str(request)[:2000])
        assert known.reason, (path, code, str(request)[:2000])
        return str(code.name)
    return "OK"


def test_every_rpc_is_asked() -> None:
    """No RPC of the gateway is left out."""
    assert {request.DESCRIPTOR.full_name for request in GOOD} == set(METHODS)


async def test_no_request_surprises_the_gateway(tmp_path: Path) -> None:
    """Whatever is asked, the answer is a code that the contract has, with a reason; then all still works."""
    codes: dict[str, Counter[str]] = {}
    maker = Maker(str(SEED), strings=STRINGS, contents=(photo(1), photo(2)[:40], bytes(8)))
    async with rigged(tmp_path) as rig, asyncio.timeout(1800):
        await rig.fill(PRODUCTS)
        async with called(rig) as channel:
            for good in GOOD:
                asked = [
                    made
                    for _ in range(REQUESTS)
                    for made in (maker.made(type(good)), maker.changed(good), maker.damaged(good))
                ]
                told = codes.setdefault(type(good).__name__, Counter())
                for start in range(0, len(asked), AT_ONCE):
                    told.update(
                        await asyncio.gather(*(ask(channel, one) for one in asked[start : start + AT_ONCE]))
                    )
            create = catalog_pb2.CreateCatalogRequest(catalog_id="afterwards")
            assert await ask(channel, create, timeout_s=LONG_S) == "OK"
            upsert = catalog_pb2.BatchUpsertProductsRequest(
                catalog="catalogs/afterwards",
                products=[
                    catalog_pb2.UpsertProduct(
                        product=catalog_pb2.Product(name="catalogs/afterwards/products/a")
                    )
                ],
            )
            assert await ask(channel, upsert, timeout_s=LONG_S) == "OK"
    print(codes)  # noqa: T201 - shown with a failure
    answered = Counter(code for told in codes.values() for code in told.elements())
    # Not everything was refused at the door.
    assert answered["OK"] > REQUESTS
    assert {"INVALID_ARGUMENT", "NOT_FOUND"} <= answered.keys()
