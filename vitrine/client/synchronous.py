"""The client for ordinary programs."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from services.mesh import channel, trace
from vitrine.client import operations
from vitrine.client.operations import Operation, Timeouts
from vitrine.client.products import Catalog, Product, UpsertOutcome, UpsertReport, batches, product_message
from vitrine.client.queries import Query
from vitrine.client.results import SearchResults

Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")


class Client:
    """Searches and writes one catalogue through the gateway at `server`.

    Every call has a deadline, and calls that found the gateway away are retried for a moment. Methods raise
    the errors of `vitrine.errors`: NotFound, InvalidArgument with the field's name, Unavailable, ...
    Safe to share between threads. Closes with `close` or as a context manager.
    """

    def __init__(
        self, server: str = "127.0.0.1:50051", *, catalog: str = "default", timeouts: Timeouts | None = None
    ) -> None:
        self.server = server
        self.catalog = catalog
        self._timeouts = timeouts or Timeouts()
        self._channel = grpc.insecure_channel(server, options=channel.options(retries=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def search(self, **query: Unpack[Query]) -> SearchResults:
        """One page of the products most similar to the query; see `Query` for its arguments."""
        return self._run(operations.search(self.catalog, query, self._timeouts))

    def pages(self, **query: Unpack[Query]) -> Iterator[SearchResults]:
        """The pages of a search, one after the other, until the last."""
        while True:
            results = self.search(**query)
            yield results
            if not results.next_page_token:
                return
            query["page_token"] = results.next_page_token

    def upsert(self, products: Iterable[Product], *, clear_photos: bool = False) -> UpsertReport:
        """Write products, in as many calls as it takes; those reported without an error are durable.

        A product without photos keeps those it has, unless `clear_photos`.
        """
        outcomes: builtins.list[UpsertOutcome] = []
        revision = 0
        for batch in batches(product_message(self.catalog, product) for product in products):
            report = self._run(
                operations.upsert(self.catalog, batch, clear_photos=clear_photos, timeouts=self._timeouts)
            )
            outcomes.extend(report.outcomes)
            revision = report.revision
        return UpsertReport(tuple(outcomes), revision)

    def get(self, product_id: str) -> Product:
        """Read a product."""
        return self._run(operations.get(self.catalog, product_id, self._timeouts))

    def list(self) -> Iterator[Product]:
        """The products of the catalogue by id."""
        token = ""
        while True:
            page = self._run(operations.list_products(self.catalog, token, self._timeouts))
            yield from page.items
            token = page.next_token
            if not token:
                return

    def delete(self, product_id: str) -> int:
        """Delete a product; the revision of the write."""
        return self._run(operations.delete(self.catalog, product_id, self._timeouts))

    def create_catalog(self, catalog: str | None = None) -> Catalog:
        """Create a catalogue, this client's own when none is named."""
        return self._run(operations.create_catalog(catalog or self.catalog, self._timeouts))

    def get_catalog(self, catalog: str | None = None) -> Catalog:
        """Read a catalogue, this client's own when none is named."""
        return self._run(operations.get_catalog(catalog or self.catalog, self._timeouts))

    def catalogs(self) -> Iterator[Catalog]:
        """All catalogues by id."""
        token = ""
        while True:
            page = self._run(operations.list_catalogs(token, self._timeouts))
            yield from page.items
            token = page.next_token
            if not token:
                return

    def _run(self, operation: Operation[Response, Result]) -> Result:
        method = self._channel.unary_unary(
            operation.path,
            request_serializer=type(operation.request).SerializeToString,
            response_deserializer=operation.response_type.FromString,
        )
        start = time.perf_counter()
        try:
            response = method(
                operation.request, timeout=operation.timeout_s, metadata=((trace.HEADER, trace.header()),)
            )
        except grpc.RpcError as error:
            raise operations.domain_error(self.server, error) from error
        return operation.read(response, (time.perf_counter() - start) * 1e3)
