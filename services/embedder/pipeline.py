"""From encoded pictures to vectors: decoded by some threads, computed by one, bounded in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from services.embedder import metrics
from services.embedder.engine import Engine, Vectors
from services.embedder.images import Box, ImageLimits, Pixels, decode
from services.embedder.texts import clean
from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted
from services.mesh.stages import StageClock

T = TypeVar("T")
Outcome = dict[str, Vectors] | InvalidArgument


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture and the part of it to look at."""

    content: bytes
    box: Box | None = None


class Pipeline:
    """Embeds batches of pictures and texts. Its one forward thread alone uses the engine."""

    def __init__(
        self, engine: Engine, *, limits: ImageLimits, decode_threads: int, max_queued_items: int
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._max_queued_items = max_queued_items
        self._queued_items = 0
        self._item_s = 0.1
        self._decoders = ThreadPoolExecutor(decode_threads, "decode")
        self._forward = ThreadPoolExecutor(1, "forward")

    async def embed_images(
        self, pictures: Sequence[Picture], spaces: Sequence[str], clock: StageClock
    ) -> list[Outcome]:
        """Vectors by space, or what is wrong with the picture, for each picture in order.

        Raises ResourceExhausted at once when too much is waiting, and what `Engine.embed_images` raises for
        `spaces`.
        """
        with self._place_for(len(pictures)):
            loop = asyncio.get_running_loop()
            with clock.stage("decode"):
                decoded = await asyncio.gather(
                    *(loop.run_in_executor(self._decoders, self._decode, picture) for picture in pictures)
                )
            pixels = [item for item in decoded if not isinstance(item, InvalidArgument)]
            if not pixels:
                return [item for item in decoded if isinstance(item, InvalidArgument)]
            stack = np.stack(pixels)
            # The forward thread serves calls in turn, a pass of each: a single photo waits for one pass of
            # each call before it and not for all their images.
            cuts = range(self._engine.pass_images, len(stack), self._engine.pass_images)
            parts = [
                await self._compute(partial(self._engine.embed_images, part, spaces), len(part), clock)
                for part in np.split(stack, cuts)
            ]
            vectors = {space: np.concatenate([part[space] for part in parts]) for space in parts[0]}
        return list(_in_order(decoded, vectors))

    async def embed_texts(
        self, texts: Sequence[str], spaces: Sequence[str], clock: StageClock
    ) -> list[Outcome]:
        """Vectors by space, or what is wrong with the text, for each text in order.

        Raises as `embed_images`.
        """
        with self._place_for(len(texts)):
            cleaned = [_cleaned(text) for text in texts]
            good = [item for item in cleaned if not isinstance(item, InvalidArgument)]
            if not good:
                return [item for item in cleaned if isinstance(item, InvalidArgument)]
            vectors = await self._compute(partial(self._engine.embed_texts, good, spaces), 0, clock)
        return list(_in_order(cleaned, vectors))

    async def warm_up(self) -> None:
        """Compute something once, so that the first caller does not pay for allocations and kernel choice."""
        size = self._engine.image_size
        loop = asyncio.get_running_loop()
        if any(not space.unavailable_reason for space in self._engine.spaces):
            blank = np.zeros((2, size, size, 3), np.uint8)
            await loop.run_in_executor(self._forward, self._engine.embed_images, blank)
        if any(not space.unavailable_reason and space.accepts_text for space in self._engine.spaces):
            await loop.run_in_executor(self._forward, self._engine.embed_texts, ["a shoe"])

    async def _compute(
        self, work: Callable[[], dict[str, Vectors]], images: int, clock: StageClock
    ) -> dict[str, Vectors]:
        # What waits in an executor is dropped when its caller leaves; the deadline is looked at when its turn
        # comes.
        queued = time.perf_counter()
        left_s = deadline.remaining_s(float("inf"))

        def timed() -> tuple[dict[str, Vectors], float, float]:
            start = time.perf_counter()
            if start - queued > left_s:
                raise DeadlineExceeded("the deadline passed while the request waited for its turn")
            return work(), start, time.perf_counter()

        vectors, start, end = await asyncio.get_running_loop().run_in_executor(self._forward, timed)
        clock.record("queue", start - queued)
        clock.record("forward", end - start)
        if images:
            metrics.BATCH_IMAGES.observe(images)
            # A running mean of the last dozen or so batches, for the advice that refused callers get.
            self._item_s += 0.1 * ((end - start) / images - self._item_s)
        return vectors

    def _decode(self, picture: Picture) -> Pixels | InvalidArgument:
        try:
            return decode(picture.content, self._engine.image_size, box=picture.box, limits=self._limits)
        except InvalidArgument as error:
            return error

    @contextmanager
    def _place_for(self, items: int) -> Iterator[None]:
        if self._queued_items + items > self._max_queued_items:
            metrics.REFUSED_ITEMS.inc(items)
            raise ResourceExhausted(
                f"{self._queued_items} items are waiting, at most {self._max_queued_items} may",
                retry_after_s=max(0.1, self._queued_items * self._item_s),
            )
        self._queued_items += items
        metrics.QUEUE_ITEMS.set(self._queued_items)
        try:
            yield
        finally:
            self._queued_items -= items
            metrics.QUEUE_ITEMS.set(self._queued_items)


def _cleaned(text: str) -> str | InvalidArgument:
    try:
        return clean(text)
    except InvalidArgument as error:
        return error


def _in_order(items: Sequence[T | InvalidArgument], vectors: dict[str, Vectors]) -> Iterator[Outcome]:
    """The outcome of every item: `vectors` holds rows for the good ones alone."""
    row = 0
    for item in items:
        if isinstance(item, InvalidArgument):
            metrics.BAD_ITEMS.inc()
            yield item
        else:
            yield {space: rows[row] for space, rows in vectors.items()}
            row += 1
