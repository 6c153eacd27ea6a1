from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from services.gateway.access import caller as callers
from services.gateway.access.caller import Caller
from services.gateway.access.guard import guarded
from services.gateway.access.policy import SERVICES
from services.mesh.errors import Aborted, PermissionDenied, Unauthenticated
from vitrine.v1 import access_pb2, catalog_pb2

Lines = list[MutableMapping[str, Any]]

WRITER = Caller("apiKeys/w", access_pb2.SCOPE_WRITE)
ADMIN = Caller("apiKeys/a", access_pb2.SCOPE_ADMIN)
GET = catalog_pb2.GetProductRequest(name="catalogs/shop/products/p")
DELETE = catalog_pb2.DeleteProductRequest(name="catalogs/shop/products/p")


class Flow:
    """Does what a catalogue's flow does, in words."""

    colour = "red"

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls = 0

    async def get_product(self, request: catalog_pb2.GetProductRequest) -> catalog_pb2.GetProductResponse:
        self.calls += 1
        return catalog_pb2.GetProductResponse(product=catalog_pb2.Product(name=request.name))

    async def delete_product(
        self, request: catalog_pb2.DeleteProductRequest
    ) -> catalog_pb2.DeleteProductResponse:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return catalog_pb2.DeleteProductResponse(revision=7)

    async def follow(self, request: catalog_pb2.FollowRequest) -> AsyncIterator[catalog_pb2.FollowResponse]:
        for revision in range(3):
            yield catalog_pb2.FollowResponse(revision=revision)

    def close(self) -> str:
        return "closed"


@pytest.fixture
def flow() -> Flow:
    return Flow()


def closed(flow: Flow, service: str = "CatalogService") -> Flow:
    return guarded(flow, SERVICES[service], is_open=False)


def opened(flow: Flow, service: str = "CatalogService") -> Flow:
    return guarded(flow, SERVICES[service], is_open=True)


async def test_who_may_is_answered(flow: Flow) -> None:
    """A caller with the scope gets what the flow answers."""
    callers.enter(WRITER)
    assert (await closed(flow).get_product(GET)).product.name == GET.name
    assert (await closed(flow).delete_product(DELETE)).revision == 7


async def test_who_may_not_reaches_nothing(flow: Flow) -> None:
    """A caller without the scope is PermissionDenied before the flow hears of it."""
    callers.enter(Caller("s", access_pb2.SCOPE_SEARCH))
    with pytest.raises(PermissionDenied):
        await closed(flow).delete_product(DELETE)
    assert flow.calls == 0


async def test_without_a_caller_nothing_is_reached(flow: Flow) -> None:
    """A transport that forgot to ask who calls is answered by nobody."""
    for call in (closed(flow).get_product(GET), closed(flow).delete_product(DELETE)):
        with pytest.raises(Unauthenticated):
            await call
    with pytest.raises(Unauthenticated):
        await anext(closed(flow, "FeedService").follow(catalog_pb2.FollowRequest()))
    assert flow.calls == 0


async def test_a_stream_is_guarded_too(flow: Flow) -> None:
    """A stream is for whom it is for, and comes whole."""
    feed = closed(flow, "FeedService")
    callers.enter(WRITER)
    with pytest.raises(PermissionDenied):
        await anext(feed.follow(catalog_pb2.FollowRequest()))
    callers.enter(ADMIN)
    frames = [frame.revision async for frame in feed.follow(catalog_pb2.FollowRequest())]
    assert frames == [0, 1, 2]


async def test_callers_at_once_are_told_apart(flow: Flow) -> None:
    """Each request is done for its own caller, also when they run at the same time."""
    catalog = closed(flow)

    async def tried(caller: Caller) -> bool:
        callers.enter(caller)
        await asyncio.sleep(0)
        try:
            await catalog.delete_product(DELETE)
        except PermissionDenied:
            return False
        return True

    searcher = Caller("s", access_pb2.SCOPE_SEARCH)
    assert await asyncio.gather(*map(tried, [WRITER, searcher] * 4)) == [True, False] * 4


def test_an_open_flow_reads_without_a_detour(flow: Flow) -> None:
    """Where access is open a read is the flow's own method, at no cost."""
    assert opened(flow).get_product == flow.get_product


def test_what_is_no_rpc_passes(flow: Flow) -> None:
    """A flow keeps whatever else it has."""
    assert closed(flow).close() == "closed"
    assert closed(flow).colour == "red"
    with pytest.raises(AttributeError):
        _ = closed(flow).create_product  # type: ignore[attr-defined]  # that is what is tested


class TestAudit:
    async def test_a_write_leaves_a_line(self, flow: Flow, lines: Lines) -> None:
        """Who wrote what, where, and what revision came of it."""
        callers.enter(WRITER)
        await closed(flow).delete_product(DELETE)
        assert lines == [
            {
                "event": "audit",
                "log_level": "info",
                "who": "apiKeys/w",
                "method": "DeleteProduct",
                "resource": "catalogs/shop/products/p",
                "revision": 7,
                "code": "OK",
            }
        ]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Aborted("changed"), "ABORTED"),
            (ZeroDivisionError(), "INTERNAL"),
            (asyncio.CancelledError(), "CANCELLED"),
        ],
    )
    async def test_a_failure_is_told_with_its_code(
        self, flow: Flow, lines: Lines, error: BaseException, code: str
    ) -> None:
        """A write that fails leaves a line too, and the failure goes on as it was."""
        callers.enter(WRITER)
        flow.error = error
        with pytest.raises(type(error)) as raised:
            await closed(flow).delete_product(DELETE)
        assert raised.value is error
        (line,) = lines
        assert line["code"] == code
        assert "revision" not in line

    async def test_an_attempt_is_told(self, flow: Flow, lines: Lines) -> None:
        """Who tries to write without being allowed to is named."""
        callers.enter(Caller("apiKeys/s", access_pb2.SCOPE_SEARCH))
        with pytest.raises(PermissionDenied):
            await closed(flow).delete_product(DELETE)
        assert [(line["who"], line["code"]) for line in lines] == [("apiKeys/s", "PERMISSION_DENIED")]

    async def test_open_writes_are_told_too(self, flow: Flow, lines: Lines) -> None:
        """Where access is open nobody is named, and what was done is."""
        await opened(flow).delete_product(DELETE)
        assert [(line["event"], line["who"]) for line in lines] == [("audit", "open")]

    async def test_reads_are_not(self, flow: Flow, lines: Lines) -> None:
        """A read leaves no line."""
        callers.enter(WRITER)
        await closed(flow).get_product(GET)
        assert lines == []
