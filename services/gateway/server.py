"""The gateway's gRPC services: messages to the flows and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from services.gateway.access.flow import AccessFlow
from services.gateway.access.opening import Access
from services.gateway.assembly import Gateway, assembled, founded
from services.gateway.catalog import CatalogFlow
from services.gateway.feed import FeedFlow
from services.gateway.http import serve
from services.gateway.mesh_status import StatusFlow
from services.gateway.query_log import QueryLogFlow
from services.gateway.search import SearchFlow
from services.gateway.settings import GatewaySettings
from services.mesh.server import Host
from vitrine.v1 import (
    access_pb2,
    access_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    queries_pb2,
    queries_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)

Context = grpc.aio.ServicerContext[Any, Any]


def add_services(host: Host, gateway: Gateway) -> None:
    """Serve a gateway's flows on a host, but for the feed."""
    search = search_pb2.DESCRIPTOR.services_by_name["SearchService"]
    catalog = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    host.add(search, partial(search_pb2_grpc.add_SearchServiceServicer_to_server, _Search(gateway.search)))
    host.add(
        catalog, partial(catalog_pb2_grpc.add_CatalogServiceServicer_to_server, _Catalog(gateway.catalog))
    )
    queries = queries_pb2.DESCRIPTOR.services_by_name["QueryService"]
    host.add(queries, partial(queries_pb2_grpc.add_QueryServiceServicer_to_server, _Queries(gateway.queries)))
    access = access_pb2.DESCRIPTOR.services_by_name["AccessService"]
    host.add(
        access, partial(access_pb2_grpc.add_AccessServiceServicer_to_server, _Access(gateway.access.flow))
    )
    status = status_pb2.DESCRIPTOR.services_by_name["StatusService"]
    host.add(status, partial(status_pb2_grpc.add_StatusServiceServicer_to_server, _Status(gateway.status)))


def add_feed(host: Host, feed: FeedFlow) -> None:
    """Serve the feed of shards on a host."""
    service = catalog_pb2.DESCRIPTOR.services_by_name["FeedService"]
    host.add(service, partial(catalog_pb2_grpc.add_FeedServiceServicer_to_server, _Feed(feed)))
    host.run_beside(_close_feeds(host, feed))


def admit(host: Host, access: Access) -> None:
    """Let only those call a host's services who may."""
    if not access.gatekeeper.lets_all_pass:
        host.admit_by(access.gatekeeper.admit_call)


async def _close_feeds(host: Host, feed: FeedFlow) -> None:
    try:
        await host.stopping()
    finally:
        feed.close()


class _Search(search_pb2_grpc.SearchServiceServicer):
    def __init__(self, flow: SearchFlow) -> None:
        self._flow = flow

    async def Search(self, request: search_pb2.SearchRequest, _context: Context) -> search_pb2.SearchResponse:
        return await self._flow.search(request)

    async def BatchSearch(
        self, request: search_pb2.BatchSearchRequest, _context: Context
    ) -> search_pb2.BatchSearchResponse:
        return await self._flow.batch_search(request)


class _Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    def __init__(self, flow: CatalogFlow) -> None:
        self._flow = flow

    async def CreateCatalog(
        self, request: catalog_pb2.CreateCatalogRequest, _context: Context
    ) -> catalog_pb2.CreateCatalogResponse:
        return await self._flow.create_catalog(request)

    async def GetCatalog(
        self, request: catalog_pb2.GetCatalogRequest, _context: Context
    ) -> catalog_pb2.GetCatalogResponse:
        return await self._flow.get_catalog(request)

    async def ListCatalogs(
        self, request: catalog_pb2.ListCatalogsRequest, _context: Context
    ) -> catalog_pb2.ListCatalogsResponse:
        return await self._flow.list_catalogs(request)

    async def DeleteCatalog(
        self, request: catalog_pb2.DeleteCatalogRequest, _context: Context
    ) -> catalog_pb2.DeleteCatalogResponse:
        return await self._flow.delete_catalog(request)

    async def CreateGeneration(
        self, request: catalog_pb2.CreateGenerationRequest, _context: Context
    ) -> catalog_pb2.CreateGenerationResponse:
        return await self._flow.create_generation(request)

    async def ActivateGeneration(
        self, request: catalog_pb2.ActivateGenerationRequest, _context: Context
    ) -> catalog_pb2.ActivateGenerationResponse:
        return await self._flow.activate_generation(request)

    async def DeleteGeneration(
        self, request: catalog_pb2.DeleteGenerationRequest, _context: Context
    ) -> catalog_pb2.DeleteGenerationResponse:
        return await self._flow.delete_generation(request)

    async def BatchUpsertProducts(
        self, request: catalog_pb2.BatchUpsertProductsRequest, _context: Context
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        return await self._flow.batch_upsert_products(request)

    async def CreateProduct(
        self, request: catalog_pb2.CreateProductRequest, _context: Context
    ) -> catalog_pb2.CreateProductResponse:
        return await self._flow.create_product(request)

    async def UpdateProduct(
        self, request: catalog_pb2.UpdateProductRequest, _context: Context
    ) -> catalog_pb2.UpdateProductResponse:
        return await self._flow.update_product(request)

    async def GetProduct(
        self, request: catalog_pb2.GetProductRequest, _context: Context
    ) -> catalog_pb2.GetProductResponse:
        return await self._flow.get_product(request)

    async def ListProducts(
        self, request: catalog_pb2.ListProductsRequest, _context: Context
    ) -> catalog_pb2.ListProductsResponse:
        return await self._flow.list_products(request)

    async def DeleteProduct(
        self, request: catalog_pb2.DeleteProductRequest, _context: Context
    ) -> catalog_pb2.DeleteProductResponse:
        return await self._flow.delete_product(request)


class _Queries(queries_pb2_grpc.QueryServiceServicer):
    def __init__(self, flow: QueryLogFlow) -> None:
        self._flow = flow

    async def RecordFeedback(
        self, request: queries_pb2.RecordFeedbackRequest, _context: Context
    ) -> queries_pb2.RecordFeedbackResponse:
        return await self._flow.record_feedback(request)

    async def ListQueries(
        self, request: queries_pb2.ListQueriesRequest, _context: Context
    ) -> queries_pb2.ListQueriesResponse:
        return await self._flow.list_queries(request)

    async def QueryStats(
        self, request: queries_pb2.QueryStatsRequest, _context: Context
    ) -> queries_pb2.QueryStatsResponse:
        return await self._flow.query_stats(request)


class _Access(access_pb2_grpc.AccessServiceServicer):
    def __init__(self, flow: AccessFlow) -> None:
        self._flow = flow

    async def CreateApiKey(
        self, request: access_pb2.CreateApiKeyRequest, _context: Context
    ) -> access_pb2.CreateApiKeyResponse:
        return await self._flow.create_api_key(request)

    async def ListApiKeys(
        self, request: access_pb2.ListApiKeysRequest, _context: Context
    ) -> access_pb2.ListApiKeysResponse:
        return await self._flow.list_api_keys(request)

    async def DeleteApiKey(
        self, request: access_pb2.DeleteApiKeyRequest, _context: Context
    ) -> access_pb2.DeleteApiKeyResponse:
        return await self._flow.delete_api_key(request)


class _Status(status_pb2_grpc.StatusServiceServicer):
    def __init__(self, flow: StatusFlow) -> None:
        self._flow = flow

    async def GetStatus(
        self, request: status_pb2.GetStatusRequest, _context: Context
    ) -> status_pb2.GetStatusResponse:
        return await self._flow.get_status(request)

    async def GetModels(
        self, request: status_pb2.GetModelsRequest, _context: Context
    ) -> status_pb2.GetModelsResponse:
        return await self._flow.get_models(request)


class _Feed(catalog_pb2_grpc.FeedServiceServicer):
    def __init__(self, flow: FeedFlow) -> None:
        self._flow = flow

    async def Follow(
        self, request: catalog_pb2.FollowRequest, _context: Context
    ) -> AsyncIterator[catalog_pb2.FollowResponse]:
        async for frame in self._flow.follow(request):
            yield frame

    async def Scan(
        self, request: catalog_pb2.ScanRequest, _context: Context
    ) -> AsyncIterator[catalog_pb2.ScanResponse]:
        async for frame in self._flow.scan(request):
            yield frame


async def main(settings: GatewaySettings) -> None:
    """Run the gateway, gRPC and HTTP in one loop, until told to stop."""
    host = Host(settings, "gateway", is_edge=True)
    if settings.role == "feed":
        async with founded(settings, on_failure=host.stop) as foundation:
            admit(host, foundation.access)
            add_feed(host, foundation.feed)
            await host.start()
            host.serving()
            await host.wait()
        return
    async with assembled(settings, on_failure=host.stop) as gateway:
        admit(host, gateway.access)
        add_services(host, gateway)
        if settings.role == "all":
            add_feed(host, gateway.feed)
        await host.start()
        host.run_beside(serve(settings, gateway))
        host.serving()
        await host.wait()
