"""Writing a catalogue through the gateway: batches in flight, one retry policy, one outcome a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

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
from vitrine.catalogs.rows import CatalogRow, RowProblem
from vitrine.client import operations
from vitrine.client.asynchronous import AsyncClient
from vitrine.client.batches import Cutter
from vitrine.client.busy_hosts import BusyHosts
from vitrine.client.checkpoints import Checkpoint
from vitrine.client.in_flight import InFlight
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

# Rows that wait for the hosts of their photos; as many more are read only when some of them are done.
MAX_LATE_ROWS = 1_000
# Rows that need not be sent are told of in lots, so that progress is seen.
_UNCHANGED_ROWS_A_LOT = 256
_PAGE_SIZE = 1_000
_HOST_BACKOFF_S = 30.0


@dataclass(frozen=True)
class Policy:
    """How a folder is written.

    `in_flight` batches let the embedder begin the next while the last is being committed. A call that finds a
    service away or full, or whose outcome is unknown, is made again for `patience_s`: a service that restarts
    needs some seconds, and the request id makes a second time harmless. As long, a photo is asked for again
    whose host is busy or away.
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
    """What became of a row: `message` says why it failed, or which of its photos did.

    `near_duplicates` are other products that show the same picture, or nearly so.
    """

    row: int
    product: str
    outcome: Literal["indexed", "unchanged", "failed"]
    message: str
    photos: int
    near_duplicates: tuple[str, ...] = ()

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
    checkpoint: Checkpoint | None = None,
    on_outage: Callable[[VitrineError], None] | None = None,
    on_busy: Callable[[str, VitrineError], None] | None = None,
) -> AsyncIterator[list[RowOutcome]]:
    """Write rows as products, and yield their outcomes batch by batch as they become known.

    A bad row is an outcome, never an error. What was written before and did not change is `unchanged`, so an
    interrupted run is merely run again; with a `checkpoint` such rows are not even sent. A product whose
    photos could not be fetched for now is written again later, and has its outcome then. Of rows of one
    product the last stays: it is written after the others, and none of them is written again.

    `on_outage` is called once each time that something is away and is waited for, with the error that said
    so, `on_busy` once for each host whose photos are, with its name.

    Raises NotFound, FailedPrecondition, or the Retryable that outlasted the policy's patience: then nothing
    further would succeed.
    """
    patience = _Patience(policy, on_outage, answered=True)
    if checkpoint is not None and not checkpoint.is_empty:
        await _confirm(client, checkpoint, policy, patience)
    run = _Run(client, rows, policy, patience, checkpoint, on_busy)
    try:
        async for outcomes in run.outcomes():
            yield outcomes
    finally:
        await run.stop()


async def _confirm(client: AsyncClient, checkpoint: Checkpoint, policy: Policy, patience: _Patience) -> None:
    """Tell the checkpoint which products the catalogue has, page by page."""
    token = ""
    while True:
        operation = operations.products.list_products(
            client.catalog, policy.timeouts, token, fields=["etag"], page_size=_PAGE_SIZE
        )
        page = await patience.run(client, operation)
        checkpoint.confirm((product.id, product.etag) for product in page.items)
        token = page.next_token
        if not token:
            return


@dataclass(frozen=True)
class _Lot:
    """Rows to write, and outcomes of rows that need not be."""

    rows: Sequence[CatalogRow | RowProblem]
    outcomes: Sequence[RowOutcome] = ()

    @property
    def products(self) -> set[str]:
        """The ids of what is written."""
        return {row.product_id for row in self.rows if isinstance(row, CatalogRow)}


@dataclass(frozen=True)
class _Late:
    """A row that is to be written again once `hosts` give its photos; `outcome` is that of the last try."""

    row: CatalogRow
    hosts: frozenset[str]
    outcome: RowOutcome


@dataclass
class _Tries:
    """Of a product that is late: when it was written first, and whether anything of it was."""

    since: float
    has_written: bool = False


class _Run:
    """One import."""

    def __init__(
        self,
        client: AsyncClient,
        rows: Iterable[CatalogRow | RowProblem],
        policy: Policy,
        patience: _Patience,
        checkpoint: Checkpoint | None,
        on_busy: Callable[[str, VitrineError], None] | None,
    ) -> None:
        self._client = client
        self._policy = policy
        self._patience = patience
        self._checkpoint = checkpoint
        self._on_busy = on_busy
        self._told: set[str] = set()
        self._lots = self._read(rows)
        self._is_read = False
        self._late: list[_Late] = []
        self._tries: dict[str, _Tries] = {}
        self._hosts = BusyHosts(
            patience_s=policy.patience_s,
            first_backoff_s=policy.first_backoff_s,
            max_backoff_s=max(_HOST_BACKOFF_S, policy.max_backoff_s),
        )
        self._writing: InFlight[asyncio.Task[list[RowOutcome]]] = InFlight(policy.in_flight)

    async def outcomes(self) -> AsyncIterator[list[RowOutcome]]:
        """The outcomes of all rows."""
        while True:
            if given_up := self._given_up():
                yield given_up
            while self._writing.has_room() and (lot := await self._next()):
                if lot.outcomes:
                    yield list(lot.outcomes)
                products = lot.products
                while not self._writing.has_room(products):
                    for outcomes in await self._ended():
                        yield outcomes
                if superseded := self._drop(late for late in self._late if late.row.product_id in products):
                    yield superseded
                if lot.rows:
                    self._writing.add(asyncio.create_task(self._write(lot.rows)), products)
            if not self._writing and not self._late and self._is_read:
                return
            for outcomes in await self._some():
                yield outcomes

    async def stop(self) -> None:
        """Leave what is being written."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _some(self) -> list[list[RowOutcome]]:
        """What calls gave that have ended, waited for until late rows have something to do."""
        wait_s = None
        # While no call can be added it is only their end that matters.
        if self._late and self._writing.has_room():
            ready_at = min(self._hosts.ready_at(late.hosts) for late in self._late)
            wait_s = max(0.0, ready_at - time.monotonic())
        if not self._writing:
            await asyncio.sleep(wait_s or 0)
            return []
        return await self._ended(wait_s)

    async def _ended(self, wait_s: float | None = None) -> list[list[RowOutcome]]:
        """What calls gave that have ended, one at least unless `wait_s` is over before."""
        done, _ = await asyncio.wait(self._writing, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        self._writing.remove(*done)
        return [outcomes for task in done if (outcomes := task.result())]

    async def _next(self) -> _Lot | None:
        """What is to be written next; None where that is nothing for now."""
        now = time.monotonic()
        due = [late for late in self._late if self._hosts.ready_at(late.hosts) <= now]
        if due:
            rows = next(self._batches(late.row for late in due))
            self._late = [late for late in self._late if late.row not in rows]
            return _Lot(rows)
        if self._is_read or len(self._late) >= MAX_LATE_ROWS:
            return None
        lot = await asyncio.to_thread(next, self._lots, None)
        self._is_read = lot is None
        return lot

    def _read(self, rows: Iterable[CatalogRow | RowProblem]) -> Iterator[_Lot]:
        """Rows in batches; those that the gateway has already are told of beside."""
        unchanged: list[RowOutcome] = []

        def changed() -> Iterator[CatalogRow | RowProblem | None]:
            """None where there are enough outcomes to be told of."""
            for row in rows:
                if isinstance(row, CatalogRow) and self._checkpoint and self._checkpoint.has(row):
                    unchanged.append(RowOutcome(row.row_number, row.product_id, "unchanged", "", 0))
                    if len(unchanged) == _UNCHANGED_ROWS_A_LOT:
                        yield None
                else:
                    yield row

        def lot(batch: Sequence[CatalogRow | RowProblem]) -> _Lot:
            made = _Lot(batch, tuple(unchanged))
            unchanged.clear()
            return made

        cutter = self._cutter()
        for row in changed():
            if row is None:
                yield lot([])
            elif batch := cutter.add(row):
                yield lot(batch)
        yield lot(cutter.rest())

    def _cutter(self) -> Cutter[CatalogRow | RowProblem]:
        return Cutter(
            # A row that gives no product is alone with its number.
            key=lambda row: row.product_id if isinstance(row, CatalogRow) else row.row_number,
            max_items=self._policy.batch_products,
            weight=lambda row: len(row.photos) + len(row.addresses) if isinstance(row, CatalogRow) else 0,
            max_weight=self._policy.batch_photos,
        )

    def _batches(self, rows: Iterable[CatalogRow]) -> Iterator[list[CatalogRow | RowProblem]]:
        return self._cutter().cut(rows)

    async def _write(self, rows: Sequence[CatalogRow | RowProblem]) -> list[RowOutcome]:
        """Write rows; the outcomes of those that need not be written again."""
        prepared, outcomes = await asyncio.to_thread(_prepare, self._client.catalog, rows)
        for chunk in _within_bytes(prepared):
            messages = [product.message for product in chunk]
            operation = operations.upsert(
                self._client.catalog, messages, clear_photos=False, timeouts=self._policy.timeouts
            )
            try:
                report = await self._patience.run(self._client, operation)
            except (NotFound, FailedPrecondition, Retryable, DeadlineExceeded):
                raise
            except VitrineError as error:
                # The server stumbled over this batch; the next one may be fine.
                for product in chunk:
                    self._tries.pop(product.row.product_id, None)
                    outcomes.append(product.failed(error))
            else:
                pairs = list(zip(chunk, report.outcomes, strict=True))
                self._record(pairs)
                outcomes += [outcome for pair in pairs if (outcome := self._outcome(*pair)) is not None]
        return outcomes

    def _record(self, pairs: Iterable[tuple[_Prepared, UpsertOutcome]]) -> None:
        if self._checkpoint is None:
            return
        self._checkpoint.record(
            (product.row, result.etag)
            for product, result in pairs
            if result.error is None and not result.photo_errors and not product.problems
        )

    def _outcome(self, product: _Prepared, result: UpsertOutcome) -> RowOutcome | None:
        """What became of a row; None where its photos are to be asked for again."""
        busy: dict[str, Retryable | DeadlineExceeded] = {}
        for place, name in enumerate(product.sent):
            error = result.photo_errors.get(place, result.error)
            host = _host(name)
            if isinstance(error, Retryable | DeadlineExceeded):
                busy[host] = error
            elif error is None:
                self._hosts.succeeded(host)
        tries = self._tries.setdefault(product.row.product_id, _Tries(time.monotonic()))
        outcome = product.outcome(result)
        if outcome.outcome == "unchanged" and tries.has_written:
            outcome = replace(outcome, outcome="indexed")
        if not busy:
            del self._tries[product.row.product_id]
            return outcome
        tries.has_written |= outcome.outcome == "indexed"
        for host, error in busy.items():
            self._hosts.failed(host, error.retry_after_s if isinstance(error, Retryable) else 0.0)
            if self._on_busy is not None and host and host not in self._told:
                self._told.add(host)
                self._on_busy(host, error)
        self._late.append(_Late(product.row, frozenset(busy), outcome))
        return None

    def _given_up(self) -> list[RowOutcome]:
        """The outcomes of rows that have waited long enough."""
        latest = time.monotonic() - self._policy.patience_s
        over = [
            late
            for late in self._late
            if self._tries[late.row.product_id].since <= latest or self._hosts.are_given_up(late.hosts)
        ]
        return self._drop(over)

    def _drop(self, over: Iterable[_Late]) -> list[RowOutcome]:
        """Write these no more; their outcomes are those of their last tries."""
        dropped = list(over)
        for late in dropped:
            self._late.remove(late)
            self._tries.pop(late.row.product_id, None)
        return [late.outcome for late in dropped]


@dataclass(frozen=True)
class _Prepared:
    """A row whose photos are read: `sent` are the files and addresses of those that could be."""

    row: CatalogRow
    message: catalog_pb2.Product
    sent: Sequence[Path | str]
    problems: Sequence[str]

    def failed(self, error: VitrineError) -> RowOutcome:
        return RowOutcome(self.row.row_number, self.row.product_id, "failed", error.message, 0)

    def outcome(self, result: UpsertOutcome) -> RowOutcome:
        if result.error is not None:
            return self.failed(result.error)
        problems = [
            *self.problems,
            *(f"{self.sent[place]}: {error.message}" for place, error in result.photo_errors.items()),
        ]
        return RowOutcome(
            self.row.row_number,
            self.row.product_id,
            "unchanged" if result.unchanged else "indexed",
            "; ".join(problems),
            len(self.sent) - len(result.photo_errors),
            tuple(dict.fromkeys(each.product for each in result.near_duplicates)),
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
    photos, problems = [], []
    sent: list[Path | str] = []
    for path in row.photos:
        try:
            photos.append(Photo(content=read_picture(path, field="photo")))
            sent.append(path)
        except InvalidArgument as error:
            problems.append(error.message)
    photos += [Photo(uri=address) for address in row.addresses]
    sent += row.addresses
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


def _host(name: Path | str) -> str:
    """The host that a photo is fetched from; empty for a file."""
    return "" if isinstance(name, Path) else (urlsplit(name).hostname or "")


def _within_bytes(prepared: Sequence[_Prepared]) -> Iterator[list[_Prepared]]:
    """Cut a batch so that each call stays below the message limit."""
    cutter = Cutter[_Prepared](
        key=lambda product: product.row.product_id,
        # Their number was bounded when the batch was cut from the rows.
        max_items=len(prepared),
        weight=lambda product: product.message.ByteSize(),
        max_weight=MAX_BATCH_BYTES,
    )
    return cutter.cut(prepared)


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
