"""`vitrine smoke`."""

from __future__ import annotations

import asyncio
import io
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

from services.mesh.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Retryable,
    Unauthenticated,
    VitrineError,
)
from vitrine.cli import output
from vitrine.cli.session import Session, connected

if TYPE_CHECKING:
    from vitrine.client import AsyncClient, SearchResults
    from vitrine.client.catalogs import Catalog
    from vitrine.client.queries import Query

_Colour = tuple[int, int, int]

_SHAPES = ("circle", "square", "triangle")
_COLOURS = {"red": (200, 30, 40), "blue": (35, 70, 190)}
_WORDS = "a red circle"
# Pixels.
_SIZE, _SHAPE_SIZE = 224, 160
_SEED_BITS = 22

# The same photo is this similar at least, whatever the models.
_SAME = 99.0
# Scores and contributions are rounded, each to a millionth.
_ROUNDING = 1e-5
# One call has a third of the time, so that its own error is told rather than that the time was up; and this
# at most.
_CALL_S = 30.0
# What is not known to have been made is made again for as long as this.
_CREATE_S = 5.0
# Deleting what was made has this long for itself, also when the time of the steps is up.
_DELETE_S = 20.0
# Errors of calls that would do something a little later.
_NOT_YET = (Retryable, DeadlineExceeded)
# Errors of calls that have certainly done nothing.
_REFUSED = (InvalidArgument, FailedPrecondition, Unauthenticated, PermissionDenied)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="How many seconds all steps have together.")
]


@connected
def smoke(session: Session, timeout: TimeoutOption = 120.0) -> None:
    """Try the whole mesh: a catalogue of drawn photos is made, searched in every way, and deleted.

    The catalogue has a name of its own. With keys, one of scope `admin` is needed. Ends with 1 when a step
    fails.
    """
    start = time.perf_counter()
    steps: list[Step] = []
    catalog = f"smoke-{secrets.token_hex(6)}"

    def tell(step: Step) -> None:
        steps.append(step)
        if not session.json:
            output.out().print(str(step), soft_wrap=True, markup=False)

    async def run() -> None:
        from vitrine.client import Timeouts

        call_s = min(timeout / 3, _CALL_S)
        async with _ended_by_sigterm(), session.asynchronous(read_s=call_s) as client:
            client.catalog = catalog
            client.timeouts = Timeouts(read_s=call_s, write_s=call_s)
            await walk(client, tell, timeout_s=timeout)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    duration_s = time.perf_counter() - start
    failed = [step.name for step in steps if not step.ok]
    if session.json:
        output.print_json(
            {
                "passed": not failed,
                "server": session.address,
                "catalog": catalog,
                "duration_ms": round(duration_s * 1e3, 1),
                "steps": [asdict(step) for step in steps],
            }
        )
    else:
        outcome = f"failed: {', '.join(failed)}" if failed else "passed"
        output.out().print(f"{outcome}, {session.address}, {duration_s:.1f} s", soft_wrap=True, markup=False)
    if failed:
        raise typer.Exit(output.FAILED)


@dataclass(frozen=True)
class Step:
    """One step: what it found, or what was wrong."""

    name: str
    ok: bool
    ms: float
    detail: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAILED':<6}  {self.name:<8}{self.ms:>8.0f} ms  {self.detail}"


@dataclass(frozen=True)
class _Thing:
    """A product of the catalogue, with its photo: a PNG file."""

    id: str
    colour: str
    shape: str
    photo: bytes


class _WrongError(Exception):
    """An answer that is not what it has to be."""


async def walk(client: AsyncClient, tell: Callable[[Step], None], *, timeout_s: float) -> None:
    """Go all steps on the client's catalogue, whose name nobody else may use, and tell of each.

    What was made is deleted in the end, also after a failure or when this is cancelled. A failed search does
    not keep the others from being tried.
    """
    walked = _Walk(client, tell, timeout_s)
    try:
        for name, work in (("create", walked.create), ("write", walked.write), ("wait", walked.wait)):
            if not await walked.step(name, work()):
                return
        await walked.search_in_every_way()
    finally:
        if walked.may_be_there:
            walked.give_up_at = time.monotonic() + _DELETE_S
            await walked.step("delete", walked.delete())


class _Walk:
    """The steps, and what those before have found."""

    def __init__(self, client: AsyncClient, tell: Callable[[Step], None], timeout_s: float) -> None:
        self.may_be_there = False
        self.give_up_at = time.monotonic() + timeout_s
        self._client = client
        self._tell = tell
        self._timeout_s = timeout_s
        # Drawn anew each time, so that no cache of vectors can answer for the embedder.
        self._things = _drawn(secrets.randbits(_SEED_BITS))
        self._ids = {thing.id for thing in self._things}
        self._revision = 0
        # What a step that takes its time is waiting for.
        self._doubt = ""

    async def step(self, name: str, work: Coroutine[Any, Any, str]) -> bool:
        """Do one step within the time that is left; whether it went well."""
        start = time.perf_counter()
        self._doubt = ""
        try:
            async with asyncio.timeout(self.give_up_at - time.monotonic()):
                detail, ok = await work, True
        except TimeoutError:
            detail, ok = f"not done when the time was up{self._doubt and ': '}{self._doubt}", False
        except _WrongError as wrong:
            detail, ok = str(wrong), False
        except DeadlineExceeded:
            detail, ok = "no answer in time", False
        except VitrineError as error:
            notes = ", ".join(getattr(error, "__notes__", []))
            detail, ok = f"{error}{notes and f' ({notes})'}", False
        self._tell(Step(name, ok, round((time.perf_counter() - start) * 1e3, 1), detail))
        return ok

    async def search_in_every_way(self) -> None:
        """The steps that search."""
        for name, work in (
            ("photo", self._by_photo),
            ("text", self._by_text),
            ("product", self._by_product),
            ("filter", self._filtered),
            ("explain", self._explained),
        ):
            await self.step(name, work())

    async def create(self) -> str:
        made = await self._made()
        return f"{made.id}, generation {made.generation}: {' '.join(made.spaces)}"

    async def _made(self) -> Catalog:
        """Make the catalogue, again where it is not known whether it was made: nobody else knows its name."""
        from vitrine.client.patience import Patience
        from vitrine.client.refusals import UNREACHED

        patience = Patience(_CREATE_S, answered=True)
        is_doubtful, was_reached = False, True
        while True:
            self.may_be_there = True
            try:
                return await self._client.create_catalog()
            except AlreadyExists:
                return await self._client.get_catalog()
            except VitrineError as error:
                # A connection that breaks looks as one that never was: nobody is there who is not at once.
                is_reached = error.reason not in UNREACHED
                is_doubtful |= is_reached and not isinstance(error, _REFUSED)
                self.may_be_there = is_doubtful
                if not (is_reached or was_reached):
                    raise
                was_reached = is_reached
                delay_s = patience.delay_s(error)
            await asyncio.sleep(delay_s)

    async def write(self) -> str:
        from vitrine.client import Photo, Product

        products = [
            Product(
                thing.id,
                f"{thing.colour} {thing.shape}",
                attributes={"colour": thing.colour, "shape": thing.shape},
                photos=[Photo(content=thing.photo)],
            )
            for thing in self._things
        ]
        # The reason is worth more than the last tries.
        report = await self._client.upsert(products, patience_s=self._timeout_s / 2)
        for outcome in report.outcomes:
            for error in filter(None, (outcome.error, *outcome.photo_errors.values())):
                raise _WrongError(f"{outcome.product} was refused: {error}")
        self._revision = report.revision
        return f"{len(products)} products with a photo each, revision {report.revision}"

    async def wait(self) -> str:
        """Search until every shard has what was written."""
        from services.mesh.backoff import Backoff

        backoff = Backoff(initial_s=0.05, max_s=1.0)
        while True:
            try:
                results = await self._search(image=self._things[0].photo)
                return f"{results.shards_ok} of {results.shards_total} shards have revision {self._revision}"
            except (*_NOT_YET, _WrongError) as not_yet:
                self._doubt = str(not_yet)
            await asyncio.sleep(backoff.next_s())

    async def delete(self) -> str:
        from vitrine.client.patience import Patience

        catalog = self._client.catalog
        self._doubt = f"`vitrine catalogs delete {catalog} --force` does it later"
        patience = Patience(_DELETE_S, answered=True)
        try:
            while True:
                try:
                    await self._client.delete_catalog(force=True)
                    return f"{catalog} is gone"
                except NotFound:
                    return f"{catalog} was never there"
                except VitrineError as error:
                    delay_s = patience.delay_s(error)
                await asyncio.sleep(delay_s)
        except VitrineError as error:
            raise _WrongError(f"{error}; {self._doubt}") from error

    async def _by_photo(self) -> str:
        lowest = 100.0
        for thing in self._things:
            results = await self._search(image=thing.photo)
            asked = f"the photo of {thing.id}"
            self._check_ids(asked, results, self._ids)
            first = results.hits[0]
            if first.product.id != thing.id or first.similarity < _SAME:
                raise _WrongError(
                    f"{asked} found {first.product.id} first, similarity {first.similarity:.1f}: "
                    f"the same photo comes first, with {_SAME:.0f} at least"
                )
            lowest = min(lowest, first.similarity)
        return f"{len(self._things)} photos, each found first, similarity {lowest:.1f} at least"

    async def _by_text(self) -> str:
        try:
            results = await self._search(text=_WORDS)
        except FailedPrecondition as error:
            if error.reason == "SPACE_MISSING":
                return f"left out: {error.message}"
            raise
        self._check_ids(f"{_WORDS!r}", results, self._ids)
        first = results.hits[0]
        return f"{_WORDS!r} found {len(results.hits)}, first {first.product.id}"

    async def _by_product(self) -> str:
        product = self._things[0].id
        results = await self._search(product=product)
        self._check_ids(f"product {product}", results, self._ids - {product})
        return f"{product} found the {len(results.hits)} others, first {results.hits[0].product.id}"

    async def _filtered(self) -> str:
        wanted = self._things[-1]
        results = await self._search(image=self._things[0].photo, filter={"colour": wanted.colour})
        asked = f"the filter colour={wanted.colour}"
        self._check_ids(asked, results, {each.id for each in self._things if each.colour == wanted.colour})
        return f"{asked} lets {len(results.hits)} of {len(self._things)} pass"

    async def _explained(self) -> str:
        results = await self._search(image=self._things[0].photo, explain=True)
        for hit in results.hits:
            total = sum(term.contribution for term in hit.terms)
            if not hit.terms or abs(total - hit.score) > _ROUNDING * (len(hit.terms) + 1):
                raise _WrongError(
                    f"the {len(hit.terms)} terms of {hit.product.id} add up to {total:.6f}, not to its score "
                    f"{hit.score:.6f}"
                )
        first = results.hits[0]
        return f"{len(first.terms)} terms add up to the score {first.score:.3f}"

    async def _search(self, **query: Unpack[Query]) -> SearchResults:
        """A whole answer with everything that was written, not from a cache."""
        query["k"] = len(self._things)
        query["min_revision"] = self._revision
        query["max_staleness_s"] = 0
        results = await self._client.search(**query)
        if results.shards_ok < results.shards_total or not results.shards_total:
            raise _WrongError(f"{results.shards_ok} of {results.shards_total} shards answered")
        if results.degraded:
            raise _WrongError(f"the answer is less than it could be: {', '.join(results.degraded)}")
        return results

    @staticmethod
    def _check_ids(asked: str, results: SearchResults, wanted: Collection[str]) -> None:
        found = [hit.product.id for hit in results.hits]
        if sorted(found) != sorted(wanted):
            raise _WrongError(f"{asked} found {_listed(found)}; it has to find {_listed(sorted(wanted))}")


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids) or "nothing"


def _drawn(seed: int) -> list[_Thing]:
    """Every shape in every colour on a pale ground, at a place that the bits of `seed` say."""
    left, top = 16 + (seed & 31), 16 + (seed >> 5 & 31)
    ground = (236 + (seed >> 10 & 15), 236 + (seed >> 14 & 15), 236 + (seed >> 18 & 15))
    return [
        _Thing(f"{colour}-{shape}", colour, shape, _photo(shape, fill, (left, top), ground))
        for colour, fill in _COLOURS.items()
        for shape in _SHAPES
    ]


def _photo(shape: str, fill: _Colour, corner: tuple[int, int], ground: _Colour) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_SIZE, _SIZE), ground)
    pen = ImageDraw.Draw(picture)
    left, top = corner
    right, bottom = left + _SHAPE_SIZE, top + _SHAPE_SIZE
    match shape:
        case "circle":
            pen.ellipse((left, top, right, bottom), fill=fill)
        case "square":
            pen.rectangle((left, top, right, bottom), fill=fill)
        case _:
            pen.polygon([((left + right) // 2, top), (right, bottom), (left, bottom)], fill=fill)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@asynccontextmanager
async def _ended_by_sigterm() -> AsyncIterator[None]:
    """SIGTERM, which is how a pod is ended, cancels the block as Ctrl-C does, so that it can tidy up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
