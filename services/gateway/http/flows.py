"""What HTTP needs of the gateway: the flows that its gRPC services stand on too, protos in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from services.gateway.media import Elsewhere
from vitrine.v1 import access_pb2, catalog_pb2, queries_pb2, search_pb2, status_pb2


class Settings(Protocol):
    """The gateway's settings that HTTP reads."""

    @property
    def http_host(self) -> str:
        """Address to listen on."""
        ...

    @property
    def http_names(self) -> Sequence[str]:
        """Names under which HTTP answers; see `host_names`."""
        ...

    @property
    def access(self) -> str:
        """`open` when anybody may call."""
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

    @property
    def media_redirect_hosts(self) -> Sequence[str]:
        """Hosts that pictures may be redirected to."""
        ...

    @property
    def cors_origins(self) -> Sequence[str]:
        """Origins whose pages may call the API from a browser; none when empty, all with `*`."""
        ...

    @property
    def tls_certificate(self) -> Path | None:
        """PEM file of the certificate chain; plain HTTP without."""
        ...

    @property
    def tls_key(self) -> Path | None:
        """PEM file of its private key."""
        ...


class SearchFlow(Protocol):
    """Answers searches. Raises the domain errors that `SearchService` documents."""

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        """As the RPC Search."""
        ...

    async def batch_search(self, request: search_pb2.BatchSearchRequest) -> search_pb2.BatchSearchResponse:
        """As the RPC BatchSearch."""
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

    async def delete_catalog(
        self, request: catalog_pb2.DeleteCatalogRequest
    ) -> catalog_pb2.DeleteCatalogResponse:
        """As the RPC DeleteCatalog."""
        ...

    async def create_generation(
        self, request: catalog_pb2.CreateGenerationRequest
    ) -> catalog_pb2.CreateGenerationResponse:
        """As the RPC CreateGeneration."""
        ...

    async def activate_generation(
        self, request: catalog_pb2.ActivateGenerationRequest
    ) -> catalog_pb2.ActivateGenerationResponse:
        """As the RPC ActivateGeneration."""
        ...

    async def delete_generation(
        self, request: catalog_pb2.DeleteGenerationRequest
    ) -> catalog_pb2.DeleteGenerationResponse:
        """As the RPC DeleteGeneration."""
        ...

    async def create_product(
        self, request: catalog_pb2.CreateProductRequest
    ) -> catalog_pb2.CreateProductResponse:
        """As the RPC CreateProduct."""
        ...

    async def update_product(
        self, request: catalog_pb2.UpdateProductRequest
    ) -> catalog_pb2.UpdateProductResponse:
        """As the RPC UpdateProduct."""
        ...


class QueryFlow(Protocol):
    """Keeps what was searched for. Raises the domain errors that `QueryService` documents."""

    async def record_feedback(
        self, request: queries_pb2.RecordFeedbackRequest
    ) -> queries_pb2.RecordFeedbackResponse:
        """As the RPC RecordFeedback."""
        ...

    async def list_queries(self, request: queries_pb2.ListQueriesRequest) -> queries_pb2.ListQueriesResponse:
        """As the RPC ListQueries."""
        ...

    async def query_stats(self, request: queries_pb2.QueryStatsRequest) -> queries_pb2.QueryStatsResponse:
        """As the RPC QueryStats."""
        ...


class AccessFlow(Protocol):
    """Makes and deletes keys. Raises the domain errors that `AccessService` documents."""

    async def create_api_key(
        self, request: access_pb2.CreateApiKeyRequest
    ) -> access_pb2.CreateApiKeyResponse:
        """As the RPC CreateApiKey."""
        ...

    async def list_api_keys(self, request: access_pb2.ListApiKeysRequest) -> access_pb2.ListApiKeysResponse:
        """As the RPC ListApiKeys."""
        ...

    async def delete_api_key(
        self, request: access_pb2.DeleteApiKeyRequest
    ) -> access_pb2.DeleteApiKeyResponse:
        """As the RPC DeleteApiKey."""
        ...


class StatusFlow(Protocol):
    """Tells how the mesh is. Raises the domain errors that `StatusService` documents."""

    async def get_status(self, request: status_pb2.GetStatusRequest) -> status_pb2.GetStatusResponse:
        """As the RPC GetStatus."""
        ...

    async def get_models(self, request: status_pb2.GetModelsRequest) -> status_pb2.GetModelsResponse:
        """As the RPC GetModels."""
        ...


class Media(Protocol):
    """The pictures of products."""

    async def shown(self, file: str) -> bytes | Elsewhere:
        """What is served as the last part of a `media_path`; raises NotFound for anything else."""
        ...


class Gatekeeper(Protocol):
    """Says who calls."""

    async def admit_call(self, metadata: Mapping[str, str | bytes], peer: str) -> None:
        """Take in the caller who shows a credential in these headers, and whose address is `peer`.

        Raises Unauthenticated, ResourceExhausted and Unavailable.
        """
        ...


class Access(Protocol):
    """Who may call, and the keys that say so."""

    @property
    def gatekeeper(self) -> Gatekeeper:
        """Who is asked before every request."""
        ...

    @property
    def flow(self) -> AccessFlow:
        """API keys."""
        ...


class Gateway(Protocol):
    """All of it."""

    @property
    def search(self) -> SearchFlow:
        """Searching."""
        ...

    @property
    def catalog(self) -> CatalogFlow:
        """Catalogues and products."""
        ...

    @property
    def queries(self) -> QueryFlow:
        """The query log."""
        ...

    @property
    def status(self) -> StatusFlow:
        """How the mesh is."""
        ...

    @property
    def media(self) -> Media:
        """Pictures."""
        ...

    @property
    def access(self) -> Access:
        """Who may call."""
        ...
