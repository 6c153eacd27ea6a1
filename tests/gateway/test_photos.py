from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.gateway import photos
from services.gateway.photos import PhotoSource
from services.mesh import deadline
from services.mesh.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from tests.mesh.fetch.servers import Server, fetching, reply, serving
from vitrine.v1 import common_pb2


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
async def source() -> AsyncIterator[PhotoSource]:
    async with fetching() as fetcher:
        yield PhotoSource(fetcher)


def at(server: Server, *paths: str) -> list[common_pb2.Image]:
    return [common_pb2.Image(uri=f"{server.here}/{path}") for path in paths]


async def test_pictures_come_in_order(server: Server, source: PhotoSource) -> None:
    """Given ones as they are, those of an address fetched, and what cannot be had as its error."""
    server.replies = {"/a": reply(200, b"a"), "/c": reply(503, b"")}
    given = common_pb2.Image(content=b"given")
    images = [given, *at(server, "a", "b"), common_pb2.Image(uri="file:///etc/passwd"), *at(server, "c")]
    found = await source.contents(images, timeout_s=60)
    assert found[:2] == [b"given", b"a"]
    reasons = [each.reason for each in found[2:] if isinstance(each, VitrineError)]
    assert reasons == ["URI_NOT_FOUND", "URI_REFUSED", "URI_UNAVAILABLE"]
    assert isinstance(found[2], InvalidArgument)
    assert isinstance(found[4], Unavailable)


async def test_an_address_that_many_want_is_fetched_once(server: Server, source: PhotoSource) -> None:
    """Within a call and between calls that run at the same time; one that leaves takes nobody along."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await may_answer.wait()
        writer.write(reply(200, b"a"))
        await writer.drain()

    server.replies = {"/a": slow}
    first, second = (
        asyncio.create_task(source.contents(at(server, "a", "a"), timeout_s=60)) for _ in range(2)
    )
    await asked.wait()
    first.cancel()
    may_answer.set()
    assert await second == [b"a", b"a"]
    assert server.paths == ["/a"]


async def test_what_is_not_there_in_time_is_unavailable(server: Server, source: PhotoSource) -> None:
    """The others are there all the same."""

    async def silence(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server.replies = {"/a": reply(200, b"a"), "/b": silence}
    found = await source.contents(at(server, "a"), timeout_s=60)
    found += await source.contents(at(server, "b"), timeout_s=0.05)
    assert found[0] == b"a"
    assert isinstance(found[1], Unavailable)
    assert found[1].reason == "URI_UNAVAILABLE"


async def test_the_callers_deadline_ends_the_call(server: Server, source: PhotoSource) -> None:
    """Nobody waits for pictures any more."""

    async def silence(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server.replies = {"/a": silence}
    with deadline.within(0.05), pytest.raises(DeadlineExceeded):
        await source.contents(at(server, "a"), timeout_s=60)


async def test_one_message_does_not_fill_the_memory(
    server: Server, source: PhotoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bytes of a call pictures are refused, for now; given ones do not count."""
    monkeypatch.setattr(photos, "MAX_FETCHED_BYTES", 10)
    server.replies = {f"/{name}": reply(200, bytes(4)) for name in "abc"}
    images = [common_pb2.Image(content=bytes(20)), *at(server, "a", "b", "c")]
    found = await source.contents(images, timeout_s=60)
    (refused,) = (each for each in found if isinstance(each, VitrineError))
    assert isinstance(refused, ResourceExhausted)
    assert refused.reason == "TOO_MANY_BYTES"
