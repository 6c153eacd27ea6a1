"""From encoded pictures and texts to vectors: fetched, decoded by some threads, computed by others."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog
from prometheus_client import Counter

from services.embedder import metrics
from services.embedder.engine import Engine, Vectors
from services.embedder.images import Box, Pixels, decode
from services.embedder.texts import clean
from services.mesh import deadline
from services.mesh.batching.admission import Admission, AdmissionLimits
from services.mesh.batching.batch_queue import BatchLimits
from services.mesh.batching.call import Call, Job, Priority
from services.mesh.batching.durations import Durations
from services.mesh.batching.stage import Stage
from services.mesh.errors import FailedPrecondition, InvalidArgument, VitrineError
from services.mesh.fetch.fetching import Fetcher
from services.mesh.pictures.decoding import ImageLimits
from services.mesh.stages import StageClock

_log = structlog.get_logger(__name__)

Outcome = dict[str, Vectors] | VitrineError

# Pictures or texts, and the models that are to see them.
Kind = tuple[str, tuple[str, ...]]
_IMAGES, _TEXTS = "images", "texts"
_DECODE: Kind = ("decode", ())

# Taken until the first batches were run.
_FORWARD_GUESS_S = 0.1
_DECODE_GUESS_S = 0.005
# A picture at the limit of pixels takes a second and may have waited for others of its size, while the usual
# one takes a millisecond: what a picture is expected to take says nothing of it.
_DECODE_PATIENCE_S = 15.0
# Passes take all the cores there are. Who admits, refuses and answers callers needs little of them, at once.
_FORWARD_NICE = 10
# Callers ask for the same few combinations of models again and again.
_KEPT_KINDS = 256
# The most decoded pixels of one batch.
_MAX_BATCH_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, or the address that it is to be fetched from, and the part of it to look at."""

    content: bytes = b""
    uri: str = ""
    box: Box | None = None


class Pipeline:
    """Embeds pictures and texts of many callers at once.

    Each item goes its own way: it waits for a decoding thread, then for a place in a batch with items of
    other callers that want the same models. What is wrong with one is no other's business.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        limits: ImageLimits,
        decode_threads: int,
        admission: AdmissionLimits,
        fetcher: Fetcher,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._fetcher = fetcher
        self._admission = Admission(admission, metrics.ITEMS)
        self._decoding: Stage[Picture, Pixels] = Stage(
            "decode",
            self._decode,
            workers=decode_threads,
            limits=BatchLimits(1, 0),
            durations=Durations(_DECODE_GUESS_S),
            metrics=metrics.DECODE,
            min_patience_s=_DECODE_PATIENCE_S,
        )
        self._forward: Stage[Pixels | str, dict[str, Vectors]] = Stage(
            "forward",
            self._compute,
            workers=engine.passes,
            limits=BatchLimits(engine.pass_items, _MAX_BATCH_BYTES),
            durations=Durations(_FORWARD_GUESS_S),
            metrics=metrics.FORWARD,
            nice=_FORWARD_NICE,
        )

    @property
    def stages(self) -> tuple[Stage[Picture, Pixels], Stage[Pixels | str, dict[str, Vectors]]]:
        """What health is to follow."""
        return self._decoding, self._forward

    async def embed_images(
        self, pictures: Sequence[Picture], names: Sequence[str], priority: Priority, clock: StageClock
    ) -> list[Outcome]:
        """Vectors by model, or what is wrong with the picture, for each picture in order.

        Raises ResourceExhausted at once when too much is waiting or they could not be done in time,
        DeadlineExceeded when the deadline has passed already, and what `Engine.image_models` raises for
        `names`.
        """
        kind = (_IMAGES, self._engine.image_models(names))
        call = self._admitted(len(pictures), sum(len(each.content) for each in pictures), kind, priority)
        async with asyncio.TaskGroup() as fetches:
            for index, picture in enumerate(pictures):
                if picture.uri and picture.content:
                    both = InvalidArgument("uri", "give the image's content or its address, not both")
                    self._end(call, index, len(picture.content), both)
                elif picture.uri:
                    fetches.create_task(self._fetch(call, index, picture, kind))
                else:
                    self._put(call, index, picture, kind)
            outcomes = await call.outcomes()
        _count(kind, outcomes)
        _report(call, clock)
        return outcomes

    async def embed_texts(
        self, texts: Sequence[str], names: Sequence[str], priority: Priority, clock: StageClock
    ) -> list[Outcome]:
        """Vectors by model, or what is wrong with the text, for each text in order.

        Raises as `embed_images`.
        """
        kind = (_TEXTS, self._engine.text_models(names))
        call = self._admitted(len(texts), sum(map(len, texts)), kind, priority)
        for index, text in enumerate(texts):
            size_bytes = len(text)
            done = partial(self._end, call, index, size_bytes)
            try:
                self._forward.put(Job(call, kind, clean(text), size_bytes, done))
            except VitrineError as error:
                done(error)
        outcomes = await call.outcomes()
        _count(kind, outcomes)
        _report(call, clock)
        return outcomes

    async def warm_up(self) -> None:
        """Compute something of every size on every thread, which also learns how long each takes."""
        sizes = [1 << power for power in range(self._engine.pass_items.bit_length())]
        blank = np.zeros((self._engine.image_size, self._engine.image_size, 3), np.uint8)
        for models in self._engine.usual_image_models:
            for size in sizes:
                # As many at once as there are threads, so that each of them has its turn.
                await self._run_blank((_IMAGES, models), blank, size * self._forward.workers)
        with contextlib.suppress(FailedPrecondition):
            await self._run_blank((_TEXTS, self._engine.text_models([])), "a shoe", self._forward.workers)

    def close(self) -> None:
        """Answer what waits with Unavailable; what is being computed is finished."""
        for stage in self.stages:
            stage.close()

    async def _run_blank(self, kind: Kind, item: Pixels | str, items: int) -> None:
        call: Call[Outcome] = Call(items, priority=Priority.INTERACTIVE, deadline_at=math.inf)
        for index in range(items):
            self._forward.put(Job(call, kind, item, 0, partial(call.settle, index)))
        await call.outcomes()

    def _admitted(self, items: int, size_bytes: int, kind: Kind, priority: Priority) -> Call[Outcome]:
        deadline_at = time.monotonic() + deadline.remaining_s(math.inf)

        def finish_s() -> float:
            # What is not decoded yet comes before us at the forward pass too.
            decoding = self._decoding.waiting(priority)
            decode_s = self._decoding.finish_s(_DECODE, items, priority) if kind[0] == _IMAGES else 0.0
            return decode_s + self._forward.finish_s(kind, decoding + items, priority)

        self._admission.admit(items, size_bytes, deadline_at=deadline_at, finish_s=finish_s)
        return Call(items, priority=priority, deadline_at=deadline_at)

    async def _fetch(self, call: Call[Outcome], index: int, picture: Picture, kind: Kind) -> None:
        started_at = time.monotonic()
        try:
            content = await self._fetcher.fetch(picture.uri)
            self._admission.grow(len(content))
        except VitrineError as error:
            metrics.FETCHES.labels(error.reason).inc()
            self._end(call, index, 0, error)
        except Exception as error:  # noqa: BLE001 - what is wrong with one is no other's business
            _log.error("a fetch failed", exc_info=error)
            metrics.FETCHES.labels("INTERNAL").inc()
            self._end(call, index, 0, VitrineError("internal error; the server's log has it"))
        except asyncio.CancelledError:
            # The caller left, and the item's place must be free again.
            self._end(call, index, 0, VitrineError("the caller left while the picture was fetched"))
            raise
        else:
            metrics.FETCHES.labels("OK").inc()
            call.took("fetch", time.monotonic() - started_at)
            self._put(call, index, Picture(content, box=picture.box), kind)

    def _put(self, call: Call[Outcome], index: int, picture: Picture, kind: Kind) -> None:
        size_bytes = len(picture.content)
        done = partial(self._decoded, call, index, size_bytes, kind)
        self._decoding.put(Job(call, _DECODE, picture, size_bytes, done))

    def _decode(self, _kind: Kind, pictures: list[Picture]) -> list[Pixels | VitrineError]:
        return [
            decode(picture.content, self._engine.image_size, box=picture.box, limits=self._limits)
            for picture in pictures
        ]

    def _decoded(
        self, call: Call[Outcome], index: int, size_bytes: int, kind: Kind, outcome: Pixels | VitrineError
    ) -> None:
        done = partial(self._end, call, index, size_bytes)
        if isinstance(outcome, VitrineError):
            done(outcome)
        else:
            self._forward.put(Job(call, kind, outcome, outcome.nbytes, done))

    def _compute(self, kind: Kind, items: list[Pixels | str]) -> list[dict[str, Vectors] | VitrineError]:
        what, models = kind
        if what == _TEXTS:
            vectors = self._engine.embed_texts([item for item in items if isinstance(item, str)], models)
        else:
            vectors = self._engine.embed_images([item for item in items if not isinstance(item, str)], models)
        return [{name: rows[row] for name, rows in vectors.items()} for row in range(len(items))]

    def _end(self, call: Call[Outcome], index: int, size_bytes: int, outcome: Outcome) -> None:
        self._admission.leave(size_bytes)
        metrics.ITEMS.ended(outcome, left=call.left)
        call.settle(index, outcome)


def _count(kind: Kind, outcomes: Sequence[Outcome]) -> None:
    embedded = sum(not isinstance(outcome, VitrineError) for outcome in outcomes)
    for series in _series(kind):
        series.inc(embedded)


@functools.lru_cache(_KEPT_KINDS)
def _series(kind: Kind) -> list[Counter]:
    """What is counted in for items of a kind. To look it up takes longer than to count."""
    what, models = kind
    vectors = [metrics.VECTORS.labels(name.partition("@")[0]) for name in models]
    return [metrics.EMBEDDED.labels(what), *vectors]


def _report(call: Call[Outcome], clock: StageClock) -> None:
    """How long the slowest item of a call was in each stage."""
    times_s = call.times_s
    queued_s = sum(times_s.pop(name) for name in ("decode_queue", "forward_queue") if name in times_s)
    clock.record("queue", queued_s)
    for stage, duration_s in times_s.items():
        clock.record(stage, duration_s)
