"""Writing a catalogue folder through the gateway: batches in flight, one retry policy, one outcome a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.mesh.backoff import Backoff
from services.mesh.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Retryable,
    VitrineError,
)
from vitrine.catalogs.folder import CatalogRow, RowProblem
from vitrine.client import operations
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.batches import batched
from vitrine.client.operations import NO_ANSWER, Operation, Response, Result
from vitrine.client.products import (
    MAX_BATCH_BYTES,
    Photo,
    Product,
    UpsertOutcome,
    product_message,
    read_picture,
)
from vitrine.v1 import catalog_pb2


@dataclass(frozen=True)
class Policy:
    """How a folder is written.

    `in_flight` batches let the embedder begin the next while the last is being committed. A call that finds a
    service away or full, or whose outcome is unknown, is made again for `patience_s`: a service that restarts
    needs some seconds, and the request id makes a second time harmless.
    """

    batch_products: int = 16
    batch_photos: int = 32
    in_flight: int = 3
    patience_s: float = 180.0
    timeouts: operations.Timeouts = field(default_factory=operations.Timeouts)
    first_backoff_s: float = 0.2
    max_backoff_s: float = 5.0


@dataclass(frozen=True)
class RowOutcome:
    """What became of a row: `message` says why it failed, or which of its photos did."""

    row: int
    product: str
    outcome: Literal["indexed", "unchanged", "failed"]
    message: str
    photos: int

    @property
    def has_problem(self) -> bool:
        """Whether anything of the row could not be taken."""
        return bool(self.message)


async def ensure_catalog(
    client: AsyncClient, policy: Policy, *, on_outage: Callable[[VitrineError], None] | None = None
) -> bool:
    """Create the client's catalogue where it is missing; whether it was.

    `on_outage` is called as by `index`. Raises what remains after the policy's retries; where nothing answers
    the first call, that is at once: a gateway that was never there is not one that restarts.
    """
    patience = _Patience(policy, on_outage, answered=False)
    try:
        await patience.run(client, operations.get_catalog(client.catalog, policy.timeouts))
    except NotFound:
        try:
            await patience.run(client, operations.create_catalog(client.catalog, policy.timeouts))
        except AlreadyExists:
            return False
        return True
    return False


async def index(
    client: AsyncClient,
    rows: Iterable[CatalogRow | RowProblem],
    policy: Policy,
    *,
    on_outage: Callable[[VitrineError], None] | None = None,
) -> AsyncIterator[list[RowOutcome]]:
    """Write rows as products, and yield their outcomes batch by batch as they become known.

    A bad row is an outcome, never an error. What was written before and did not change is `unchanged`, so an
    interrupted run is merely run again. `on_outage` is called once each time that something is away and is
    waited for, with the error that said so. Raises NotFound, FailedPrecondition, or the Retryable that
    outlasted the policy's patience: then nothing further would succeed.
    """
    patience = _Patience(policy, on_outage, answered=True)
    writing: set[asyncio.Task[list[RowOutcome]]] = set()
    try:
        for batch in _batches(rows, policy):
            if len(writing) == policy.in_flight:
                done, writing = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
            writing.add(asyncio.create_task(_write(client, batch, policy, patience)))
        for finished in asyncio.as_completed(list(writing)):
            yield await finished
    finally:
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)


def _batches(
    rows: Iterable[CatalogRow | RowProblem], policy: Policy
) -> Iterator[list[CatalogRow | RowProblem]]:
    return batched(
        rows,
        max_items=policy.batch_products,
        weight=lambda row: len(row.photos) if isinstance(row, CatalogRow) else 0,
        max_weight=policy.batch_photos,
    )


async def _write(
    client: AsyncClient, rows: Sequence[CatalogRow | RowProblem], policy: Policy, patience: _Patience
) -> list[RowOutcome]:
    prepared, outcomes = await asyncio.to_thread(_prepare, client.catalog, rows)
    for chunk in _within_bytes(prepared):
        messages = [product.message for product in chunk]
        operation = operations.upsert(client.catalog, messages, clear_photos=False, timeouts=policy.timeouts)
        try:
            report = await patience.run(client, operation)
        except (NotFound, FailedPrecondition, Retryable, DeadlineExceeded):
            raise
        except VitrineError as error:
            # The server stumbled over this batch; the next one may be fine.
            outcomes += [product.failed(error) for product in chunk]
        else:
            outcomes += [
                product.outcome(result) for product, result in zip(chunk, report.outcomes, strict=True)
            ]
    return outcomes


@dataclass(frozen=True)
class _Prepared:
    """A row whose photos are read: `sent` are the places of those that could be."""

    row: CatalogRow
    message: catalog_pb2.Product
    sent: Sequence[int]
    problems: Sequence[str]

    def failed(self, error: VitrineError) -> RowOutcome:
        return RowOutcome(self.row.row_number, self.row.product_id, "failed", error.message, 0)

    def outcome(self, result: UpsertOutcome) -> RowOutcome:
        if result.error is not None:
            return self.failed(result.error)
        problems = [
            *self.problems,
            *(
                f"{self.row.photos[self.sent[place]]}: {error.message}"
                for place, error in result.photo_errors.items()
            ),
        ]
        return RowOutcome(
            self.row.row_number,
            self.row.product_id,
            "unchanged" if result.unchanged else "indexed",
            "; ".join(problems),
            len(self.sent) - len(result.photo_errors),
        )


def _prepare(
    catalog: str, rows: Sequence[CatalogRow | RowProblem]
) -> tuple[list[_Prepared], list[RowOutcome]]:
    prepared, outcomes = [], []
    for row in rows:
        if isinstance(row, RowProblem):
            outcomes.append(RowOutcome(row.row_number, row.product_id, "failed", row.message, 0))
            continue
        try:
            prepared.append(_prepare_row(catalog, row))
        except VitrineError as error:
            outcomes.append(RowOutcome(row.row_number, row.product_id, "failed", error.message, 0))
    return prepared, outcomes


def _prepare_row(catalog: str, row: CatalogRow) -> _Prepared:
    photos, sent, problems = [], [], []
    for place, path in enumerate(row.photos):
        try:
            photos.append(Photo(content=read_picture(path, field="photo")))
            sent.append(place)
        except InvalidArgument as error:
            problems.append(error.message)
    if not photos:
        raise InvalidArgument("photos", "; ".join(problems) or "the row has no photo")
    product = Product(
        id=row.product_id,
        title=row.title,
        description=row.description,
        attributes=row.attributes,
        photos=photos,
    )
    message = product_message(catalog, product)
    if message.ByteSize() > MAX_BATCH_BYTES:
        raise InvalidArgument("photos", f"together larger than {MAX_BATCH_BYTES >> 20} MiB")
    return _Prepared(row, message, sent, problems)


def _within_bytes(prepared: Sequence[_Prepared]) -> Iterator[list[_Prepared]]:
    """Cut a batch so that each call stays below the message limit."""
    return batched(
        prepared,
        # Their number was bounded when the batch was cut from the rows.
        max_items=len(prepared),
        weight=lambda product: product.message.ByteSize(),
        max_weight=MAX_BATCH_BYTES,
    )


class _Patience:
    """Makes calls again that found a service away or full, and tells of each outage once."""

    def __init__(
        self, policy: Policy, on_outage: Callable[[VitrineError], None] | None, *, answered: bool
    ) -> None:
        self._policy = policy
        self._on_outage = on_outage
        self._answered = answered
        self._is_outage = False

    async def run(self, client: AsyncClient, operation: Operation[Response, Result]) -> Result:
        """Do one operation; raises what remains when the policy's patience ends."""
        policy = self._policy
        backoff = Backoff(initial_s=policy.first_backoff_s, max_s=policy.max_backoff_s, jitter=0.5)
        give_up_at = time.monotonic() + policy.patience_s
        while True:
            try:
                result = await client.run(operation)
            except (Retryable, DeadlineExceeded) as error:
                delay_s = backoff.next_s()
                if isinstance(error, Retryable) and error.reason != NO_ANSWER:
                    self._answered = True
                    delay_s = max(delay_s, min(error.retry_after_s, policy.max_backoff_s))
                if not self._answered or time.monotonic() + delay_s > give_up_at:
                    raise
                self._tell(error)
            else:
                self._is_outage = False
                return result
            await asyncio.sleep(delay_s)

    def _tell(self, error: VitrineError) -> None:
        # A full queue is how the mesh sets our pace, not an outage.
        if self._is_outage or self._on_outage is None or isinstance(error, ResourceExhausted):
            return
        self._is_outage = True
        self._on_outage(error)
