"""The client for asyncio."""

from __future__ import annotations

import builtins
import time
from collections.abc import AsyncIterator, Iterable
from typing import Self, TypeVar, Unpack

import grpc
import grpc.aio
from google.protobuf.message import Message

from services.mesh import channel, trace
from vitrine.client import operations
from vitrine.client.operations import Operation, Timeouts
from vitrine.client.products import Catalog, Product, UpsertOutcome, UpsertReport, batches, product_message
from vitrine.client.queries import Query
from vitrine.client.results import SearchResults

Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")


class AsyncClient:
    """`Client` for asyncio, with the same methods; it belongs to the event loop that it was made in."""

    def __init__(
        self, server: str = "127.0.0.1:50051", *, catalog: str = "default", timeouts: Timeouts | None = None
    ) -> None:
        self.server = server
        self.catalog = catalog
        self._timeouts = timeouts or Timeouts()
        self._channel = channel.connect(server, retries=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def search(self, **query: Unpack[Query]) -> SearchResults:
        """One page of the products most similar to the query; see `Query` for its arguments."""
        return await self.run(operations.search(self.catalog, query, self._timeouts))

    async def pages(self, **query: Unpack[Query]) -> AsyncIterator[SearchResults]:
        """The pages of a search, one after the other, until the last."""
        while True:
            results = await self.search(**query)
            yield results
            if not results.next_page_token:
                return
            query["page_token"] = results.next_page_token

    async def upsert(self, products: Iterable[Product], *, clear_photos: bool = False) -> UpsertReport:
        """Write products, in as many calls as it takes; those reported without an error are durable.

        A product without photos keeps those it has, unless `clear_photos`.
        """
        outcomes: builtins.list[UpsertOutcome] = []
        revision = 0
        for batch in batches(product_message(self.catalog, product) for product in products):
            report = await self.run(
                operations.upsert(self.catalog, batch, clear_photos=clear_photos, timeouts=self._timeouts)
            )
            outcomes.extend(report.outcomes)
            revision = report.revision
        return UpsertReport(tuple(outcomes), revision)

    async def get(self, product_id: str) -> Product:
        """Read a product."""
        return await self.run(operations.get(self.catalog, product_id, self._timeouts))

    async def list(self) -> AsyncIterator[Product]:
        """The products of the catalogue by id."""
        token = ""
        while True:
            page = await self.run(operations.list_products(self.catalog, token, self._timeouts))
            for product in page.items:
                yield product
            token = page.next_token
            if not token:
                return

    async def delete(self, product_id: str) -> int:
        """Delete a product; the revision of the write."""
        return await self.run(operations.delete(self.catalog, product_id, self._timeouts))

    async def create_catalog(self, catalog: str | None = None) -> Catalog:
        """Create a catalogue, this client's own when none is named."""
        return await self.run(operations.create_catalog(catalog or self.catalog, self._timeouts))

    async def get_catalog(self, catalog: str | None = None) -> Catalog:
        """Read a catalogue, this client's own when none is named."""
        return await self.run(operations.get_catalog(catalog or self.catalog, self._timeouts))

    async def catalogs(self) -> AsyncIterator[Catalog]:
        """All catalogues by id."""
        token = ""
        while True:
            page = await self.run(operations.list_catalogs(token, self._timeouts))
            for catalog in page.items:
                yield catalog
            token = page.next_token
            if not token:
                return

    async def run(self, operation: Operation[Response, Result]) -> Result:
        """Do one operation; doing an `upsert` operation again is harmless."""
        method: grpc.aio.UnaryUnaryMultiCallable[Message, Response] = self._channel.unary_unary(
            operation.path,
            request_serializer=type(operation.request).SerializeToString,
            response_deserializer=operation.response_type.FromString,
        )
        start = time.perf_counter()
        try:
            response = await method(
                operation.request,
                timeout=operation.timeout_s,
                metadata=((trace.HEADER, trace.header()),),
            )
        except grpc.aio.AioRpcError as error:
            raise operations.domain_error(self.server, error) from error
        return operation.read(response, (time.perf_counter() - start) * 1e3)
