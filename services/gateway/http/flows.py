"""What HTTP needs of the gateway: the flows that its gRPC services stand on too, protos in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vitrine.v1 import catalog_pb2, search_pb2


class Settings(Protocol):
    """The gateway's settings that HTTP reads."""

    @property
    def http_host(self) -> str:
        """Address to listen on."""
        ...

    @property
    def http_port(self) -> int:
        """Port to listen on."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """Largest body received, as for a gRPC message."""
        ...

    @property
    def max_inflight(self) -> int:
        """API requests handled at once; more are refused."""
        ...

    @property
    def default_timeout_s(self) -> float:
        """Deadline of every request; a search has a shorter one of its own."""
        ...

    @property
    def drain_s(self) -> float:
        """Time for requests in hand to end when told to stop."""
        ...


class SearchFlow(Protocol):
    """Answers searches. Raises the domain errors that `SearchService` documents."""

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        """As the RPC Search."""
        ...


class CatalogFlow(Protocol):
    """Reads and writes catalogues. Raises the domain errors that `CatalogService` documents."""

    async def create_catalog(
        self, request: catalog_pb2.CreateCatalogRequest
    ) -> catalog_pb2.CreateCatalogResponse:
        """As the RPC CreateCatalog."""
        ...

    async def get_catalog(self, request: catalog_pb2.GetCatalogRequest) -> catalog_pb2.GetCatalogResponse:
        """As the RPC GetCatalog."""
        ...

    async def list_catalogs(
        self, request: catalog_pb2.ListCatalogsRequest
    ) -> catalog_pb2.ListCatalogsResponse:
        """As the RPC ListCatalogs."""
        ...

    async def batch_upsert_products(
        self, request: catalog_pb2.BatchUpsertProductsRequest
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        """As the RPC BatchUpsertProducts."""
        ...

    async def get_product(self, request: catalog_pb2.GetProductRequest) -> catalog_pb2.GetProductResponse:
        """As the RPC GetProduct."""
        ...

    async def list_products(
        self, request: catalog_pb2.ListProductsRequest
    ) -> catalog_pb2.ListProductsResponse:
        """As the RPC ListProducts."""
        ...

    async def delete_product(
        self, request: catalog_pb2.DeleteProductRequest
    ) -> catalog_pb2.DeleteProductResponse:
        """As the RPC DeleteProduct."""
        ...


class Media(Protocol):
    """The pictures of products."""

    def path(self, file: str) -> Path:
        """The file behind the last part of a `media_path`; raises NotFound for anything else."""
        ...
