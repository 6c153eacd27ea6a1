"""The client for ordinary programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

import grpc
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

Item = TypeVar("Item")


class Client(BaseClient):
    """Searches and writes one catalogue through the gateway at `server`.

    Every call has a deadline. Calls that found the gateway away are retried for a moment, but for those that
    make or delete catalogues, generations and keys: whether they were done is not known. Methods raise the
    errors of `vitrine.errors`: NotFound, InvalidArgument with the field's name, Unavailable, ...
    Safe to share between threads. Closes with `close` or as a context manager.
    """

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
        options = channel.options(retries=True, once=ONCE)
        if self._credentials is None:
            self._channel = grpc.insecure_channel(server, options=options)
        else:
            self._channel = grpc.secure_channel(server, self._credentials, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def upsert(
        self, products: Iterable[Product], *, clear_photos: bool = False, patience_s: float = 60.0
    ) -> UpsertReport:
        """Write products, in as many calls as it takes; those reported without an error are durable.

        A product without photos keeps those it has, unless `clear_photos`. A call that finds the gateway away
        or full is made again for `patience_s`, with the same request id, so that nothing is written twice.
        """
        return UpsertReport.of(
            self.upsert_batches(products, clear_photos=clear_photos, patience_s=patience_s)
        )

    def upsert_batches(
        self, products: Iterable[Product], *, clear_photos: bool = False, patience_s: float = 60.0
    ) -> Iterator[UpsertReport]:
        """The same for any number of products: they are read as they are written, and each call is reported.

        Reports come in the order of the products, and of a product that comes again the last version stays.
        What was read after the last report may be written or not when this is given up.
        """
        started: InFlight[tuple[Operation[Any, UpsertReport], grpc.Future[Any]]] = InFlight(IN_FLIGHT)
        try:
            for batch in batch_cutter().cut(product_message(self.catalog, product) for product in products):
                names = [message.name for message in batch]
                while not started.has_room(names):
                    yield self._ended(*started.pop_oldest(), patience_s)
                operation = operations.upsert(
                    self.catalog, batch, clear_photos=clear_photos, timeouts=self.timeouts
                )
                call = self._method(operation).future(
                    operation.request, timeout=operation.timeout_s, metadata=self._metadata()
                )
                started.add((operation, call), names)
            while started:
                yield self._ended(*started.pop_oldest(), patience_s)
        finally:
            for _, unfinished in started:
                unfinished.cancel()

    def await_generation(
        self, generation: str, *, timeout_s: float = 3600.0, poll_s: float = 1.0
    ) -> Generation:
        """Wait until a generation is ready.

        Raises NotFound when it is deleted, and DeadlineExceeded when it is not ready within `timeout_s`.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            catalog = self._patiently(
                operations.get_catalog(self.catalog, self.timeouts), self._patience(OUTAGE_S)
            )
            found = ready_generation(catalog, generation, is_late=time.monotonic() > give_up_at)
            if found is not None:
                return found
            time.sleep(poll_s)

    def run(self, operation: Operation[Response, Result]) -> Result:
        """Do one operation."""
        start = time.perf_counter()
        try:
            response = self._method(operation)(
                operation.request, timeout=operation.timeout_s, metadata=self._metadata()
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        self._has_answered = True
        return operation.read(response, (time.perf_counter() - start) * 1e3)

    def items(self, page_at: Callable[[str], Operation[Any, Page[Item]]]) -> Iterator[Item]:
        """The items of all pages; `page_at` tells how the page of a token is asked for."""
        token = ""
        while True:
            page = self.run(page_at(token))
            yield from page.items
            token = page.next_token
            if not token:
                return

    def _method(self, operation: Operation[Response, Any]) -> grpc.UnaryUnaryMultiCallable[Message, Response]:
        return self._channel.unary_unary(
            operation.path,
            request_serializer=type(operation.request).SerializeToString,
            response_deserializer=operation.response_type.FromString,
        )

    def _ended(
        self, operation: Operation[Response, Result], call: grpc.Future[Response], patience_s: float
    ) -> Result:
        """The result of an operation that was started, or else of doing it again."""
        patience = self._patience(patience_s)
        try:
            response = call.result()
        except grpc.RpcError as error:
            time.sleep(patience.delay_s(self._failure(error)))
            return self._patiently(operation, patience)
        self._has_answered = True
        return operation.read(response, 0.0)

    def _patiently(self, operation: Operation[Response, Result], patience: Patience) -> Result:
        while True:
            try:
                return self.run(operation)
            except VitrineError as error:
                time.sleep(patience.delay_s(error))
