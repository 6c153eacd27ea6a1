"""The bytes of products' photos: as they were given, or fetched from their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.gateway.flight import SingleFlight
from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded, ResourceExhausted, Unavailable, VitrineError
from services.mesh.fetch.fetching import Fetcher
from vitrine.v1 import common_pb2

# Of one call. An address is short and a picture is not: without a bound, one message could fill the memory.
MAX_FETCHED_BYTES = 128 << 20


class PhotoSource:
    """Fetches photos through `fetcher`; an address that several want at the same time is fetched once."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._flights: SingleFlight[bytes] = SingleFlight()

    async def contents(
        self, images: Sequence[common_pb2.Image], *, timeout_s: float
    ) -> list[bytes | VitrineError]:
        """The bytes of each picture in order, or why there are none.

        For an address that is what `Fetcher.fetch` raises; Unavailable (URI_UNAVAILABLE) where it is not
        there within `timeout_s`; ResourceExhausted (TOO_MANY_BYTES) where the pictures that came before it
        were 128 MiB together: the rest is to be asked for again. Raises DeadlineExceeded when the caller's
        own deadline passes.
        """
        room = _Room(MAX_FETCHED_BYTES)

        async def content(image: common_pb2.Image) -> bytes | VitrineError:
            if not image.uri:
                return image.content
            try:
                return room.take(await self._fetched(image.uri))
            except DeadlineExceeded:
                return Unavailable("the picture was not there in time", reason="URI_UNAVAILABLE")
            except VitrineError as error:
                return error

        with deadline.within(timeout_s):
            found = await asyncio.gather(*(content(image) for image in images))
        # Beside our own time the caller's may be over.
        deadline.remaining_s(timeout_s)
        return found

    async def _fetched(self, uri: str) -> bytes:
        data, _ = await self._flights.do(uri.encode(), lambda: self._fetcher.fetch(uri))
        return data


class _Room:
    """What one call may still take."""

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes

    def take(self, data: bytes) -> bytes:
        if len(data) > self._left_bytes:
            raise ResourceExhausted(
                "the pictures are too large to be fetched at once", reason="TOO_MANY_BYTES"
            )
        self._left_bytes -= len(data)
        return data
