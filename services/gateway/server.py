"""The gateway's gRPC services: messages to the flows and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from services.gateway.assembly import Gateway, assembled
from services.gateway.catalog import CatalogFlow
from services.gateway.feed import FeedFlow
from services.gateway.http import serve
from services.gateway.search import SearchFlow
from services.gateway.settings import GatewaySettings
from services.mesh.server import Host
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


def add_services(host: Host, gateway: Gateway) -> None:
    """Serve a gateway's flows on a host."""
    search = search_pb2.DESCRIPTOR.services_by_name["SearchService"]
    catalog = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    feed = catalog_pb2.DESCRIPTOR.services_by_name["FeedService"]
    host.add(search, partial(search_pb2_grpc.add_SearchServiceServicer_to_server, _Search(gateway.search)))
    host.add(
        catalog, partial(catalog_pb2_grpc.add_CatalogServiceServicer_to_server, _Catalog(gateway.catalog))
    )
    host.add(feed, partial(catalog_pb2_grpc.add_FeedServiceServicer_to_server, _Feed(gateway.feed)))
    host.run_beside(_close_feeds(host, gateway.feed))


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

    async def BatchUpsertProducts(
        self, request: catalog_pb2.BatchUpsertProductsRequest, _context: Context
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        return await self._flow.batch_upsert_products(request)

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
    host = Host(settings, "gateway")
    async with assembled(settings, on_failure=host.stop) as gateway:
        add_services(host, gateway)
        await host.start()
        host.run_beside(serve(settings, gateway.search, gateway.catalog, gateway.media))
        await host.serving()
        await host.wait()
