"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from services.mesh import channel
from services.mesh.errors import VitrineError
from vitrine.client import operations
from vitrine.client.base import DEFAULT_SERVER, IN_FLIGHT, ONCE, OUTAGE_S, BaseClient, ready_generation
from vitrine.client.catalogs import Generation
from vitrine.client.connection import TlsFiles
from vitrine.client.in_flight import InFlight
from vitrine.client.operations import Operation, Page, Response, Result, Timeouts
from vitrine.client.patience import Patience
from vitrine.client.products import Product, UpsertReport, batch_cutter, product_message
from vitrine.v1 import catalog_pb2

Item = TypeVar("Item")


class AsyncClient(BaseClient):
    """`Client` for asyncio, with the same methods; it belongs to the event loop that it was made in."""

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        catalog: str = "default",
        key: str | None = None,
        tls: TlsFiles | bool = False,
        timeouts: Timeouts | None = None,
    ) -> None:
        super().__init__(server, catalog=catalog, key=key, tls=tls, timeouts=timeouts)
        self._channel = channel.connect(server, retries=True, once=ONCE, tls=self._credentials)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def upsert(
        self,
        products: Iterable[Product] | AsyncIterable[Product],
        *,
        clear_photos: bool = False,
        patience_s: float = 60.0,
    ) -> UpsertReport:
        """Write products, in as many calls as it takes; those reported without an error are durable.

        A product without photos keeps those it has, unless `clear_photos`. A call that finds the gateway away
        or full is made again for `patience_s`, with the same request id, so that nothing is written twice.
        """
        reports = self.upsert_batches(products, clear_photos=clear_photos, patience_s=patience_s)
        return UpsertReport.of([report async for report in reports])

    async def upsert_batches(
        self,
        products: Iterable[Product] | AsyncIterable[Product],
        *,
        clear_photos: bool = False,
        patience_s: float = 60.0,
    ) -> AsyncIterator[UpsertReport]:
        """The same for any number of products: they are read as they are written, and each call is reported.

        Reports come in the order of the products, and of a product that comes again the last version stays.
        What was read after the last report may be written or not when this is given up.
        """
        started: InFlight[asyncio.Task[UpsertReport]] = InFlight(IN_FLIGHT)
        try:
            async for batch in self._batches(products):
                names = [message.name for message in batch]
                while not started.has_room(names):
                    yield await started.pop_oldest()
                operation = operations.upsert(
                    self.catalog, batch, clear_photos=clear_photos, timeouts=self.timeouts
                )
                writing = self._patiently(operation, self._patience(patience_s))
                started.add(asyncio.create_task(writing), names)
            while started:
                yield await started.pop_oldest()
        finally:
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)

    async def await_generation(
        self, generation: str, *, timeout_s: float = 3600.0, poll_s: float = 1.0
    ) -> Generation:
        """Wait until a generation is ready.

        Raises NotFound when it is deleted, and DeadlineExceeded when it is not ready within `timeout_s`.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            catalog = await self._patiently(
                operations.get_catalog(self.catalog, self.timeouts), self._patience(OUTAGE_S)
            )
            found = ready_generation(catalog, generation, is_late=time.monotonic() > give_up_at)
            if found is not None:
                return found
            await asyncio.sleep(poll_s)

    async def run(self, operation: Operation[Response, Result]) -> Result:
        """Do one operation; doing an `upsert` operation again is harmless."""
        method: grpc.aio.UnaryUnaryMultiCallable[Message, Response] = self._channel.unary_unary(
            operation.path,
            request_serializer=type(operation.request).SerializeToString,
            response_deserializer=operation.response_type.FromString,
        )
        start = time.perf_counter()
        try:
            response = await method(operation.request, timeout=operation.timeout_s, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error
        self._has_answered = True
        return operation.read(response, (time.perf_counter() - start) * 1e3)

    async def items(self, page_at: Callable[[str], Operation[Any, Page[Item]]]) -> AsyncIterator[Item]:
        """The items of all pages; `page_at` tells how the page of a token is asked for."""
        token = ""
        while True:
            page = await self.run(page_at(token))
            for item in page.items:
                yield item
            token = page.next_token
            if not token:
                return

    async def _batches(
        self, products: Iterable[Product] | AsyncIterable[Product]
    ) -> AsyncIterator[list[catalog_pb2.Product]]:
        cutter = batch_cutter()
        if isinstance(products, AsyncIterable):
            async for product in products:
                if batch := cutter.add(product_message(self.catalog, product)):
                    yield batch
            if batch := cutter.rest():
                yield batch
        else:
            for batch in cutter.cut(product_message(self.catalog, product) for product in products):
                yield batch

    async def _patiently(self, operation: Operation[Response, Result], patience: Patience) -> Result:
        while True:
            try:
                return await self.run(operation)
            except VitrineError as error:
                delay_s = patience.delay_s(error)
            await asyncio.sleep(delay_s)
