"""Callers of a gateway that asks for keys."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio

from tests.gateway.fakes import photo
from vitrine.v1 import (
    access_pb2,
    access_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)

TIMEOUT_S = 60.0
ADMIN_KEY = "an-admin-key-that-somebody-made-with-openssl"
ADMIN_KEY_HASH = hashlib.sha256(ADMIN_KEY.encode()).hexdigest()
PHOTO = photo(1, size=(64, 64))

# How long the secret at the end of a key is; it can have underscores, as what stands before it has.
SECRET_CHARACTERS = 43

Call = Callable[..., Awaitable[Any]]


@dataclass
class Stubs:
    """The services of a gateway, called with a key."""

    connection: grpc.aio.Channel
    key: str = ""

    async def __call__(self, stub: Any, method: str, request: Any) -> Any:
        metadata = [("authorization", f"Bearer {self.key}")] if self.key else []
        call = getattr(stub(self.connection), method)
        return await cast("Call", call)(request, metadata=metadata, timeout=TIMEOUT_S)

    def having(self, key: str) -> Stubs:
        return Stubs(self.connection, key)

    async def search(self, content: bytes = PHOTO) -> search_pb2.SearchResponse:
        request = search_pb2.SearchRequest(catalog="catalogs/shop")
        request.parts.add().image.content = content
        response = await self(search_pb2_grpc.SearchServiceStub, "Search", request)
        return cast("search_pb2.SearchResponse", response)

    async def upsert(self, catalog: str = "catalogs/shop") -> None:
        request = catalog_pb2.BatchUpsertProductsRequest(catalog=catalog)
        product = request.products.add().product
        product.name = f"{catalog}/products/p1"
        product.title = "a-title-that-is-nobody's-business"
        product.photos.add().image.content = PHOTO
        response = await self(catalog_pb2_grpc.CatalogServiceStub, "BatchUpsertProducts", request)
        assert not response.results[0].HasField("status"), response

    async def make_key(self, **fields: Any) -> access_pb2.CreateApiKeyResponse:
        request = access_pb2.CreateApiKeyRequest(api_key=access_pb2.ApiKey(**fields))
        response = await self(access_pb2_grpc.AccessServiceStub, "CreateApiKey", request)
        return cast("access_pb2.CreateApiKeyResponse", response)

    async def create_catalog(self, catalog_id: str) -> None:
        request = catalog_pb2.CreateCatalogRequest(catalog_id=catalog_id)
        await self(catalog_pb2_grpc.CatalogServiceStub, "CreateCatalog", request)


async def code_of(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
