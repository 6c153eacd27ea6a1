"""Writing any number of products, with calls in flight that are made again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from tests.vitrine.fake_gateway import FakeGateway
from vitrine import AsyncClient, Client, Product
from vitrine.client import products
from vitrine.client.base import IN_FLIGHT
from vitrine.client.products import UpsertReport


@pytest.fixture
def shop(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """A gateway with a catalogue, which is written two products at a time."""
    monkeypatch.setattr(products, "BATCH_PRODUCTS", 2)
    gateway.catalogs["shop"] = {}
    return gateway


class Source:
    """Products that tell how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0

    def __iter__(self) -> Iterator[Product]:
        for number in range(self.count):
            self.read += 1
            yield Product(f"p{number:02}")

    async def __aiter__(self) -> AsyncIterator[Product]:
        for product in self:
            yield product


class AsyncSource:
    """The same for asyncio alone."""

    def __init__(self, count: int) -> None:
        self.source = Source(count)

    async def __aiter__(self) -> AsyncIterator[Product]:
        for product in self.source:
            yield product


def _written(shop: FakeGateway) -> list[str]:
    return sorted(name.rpartition("/")[2] for name in shop.catalogs["shop"])


async def test_products_are_read_as_they_are_written(shop: FakeGateway) -> None:
    """Not more is read than what is in flight and the batch after it; reports come in order."""
    source, other = Source(20), AsyncSource(20)
    with Client(shop.address, catalog="shop") as client:
        reports = client.upsert_batches(source)
        first = next(reports)
        assert source.read <= 2 * (IN_FLIGHT + 1) + 1
        rest = [outcome.product for report in reports for outcome in report.outcomes]
    assert [outcome.product for outcome in first.outcomes] + rest == _written(shop)
    shop.catalogs["shop"].clear()
    async with AsyncClient(shop.address, catalog="shop") as asynchronous:
        stream = asynchronous.upsert_batches(other)
        seen = [outcome.product for outcome in (await anext(stream)).outcomes]
        assert other.source.read <= 2 * (IN_FLIGHT + 1) + 1
        seen += [outcome.product async for report in stream for outcome in report.outcomes]
    assert seen == _written(shop)
    assert len(seen) == 20
    assert shop.most_writes_at_once <= IN_FLIGHT


async def test_the_last_version_of_a_product_stays(shop: FakeGateway) -> None:
    """A product that comes again is written after it was written before, however long that takes."""
    versions = [Product("x", "old"), Product("a"), Product("x", "new"), Product("b"), Product("b", "new")]
    shop.refused_once = {"old"}
    with Client(shop.address, catalog="shop") as client:
        report = client.upsert(versions)
        assert [(outcome.product, outcome.error) for outcome in report.outcomes] == [
            *(("x", None), ("a", None), ("x", None), ("b", None), ("b", None))
        ]
        assert client.get("x").title == "new"
    shop.catalogs["shop"].clear()
    shop.refused_once = {"old"}
    async with AsyncClient(shop.address, catalog="shop") as asynchronous:
        await asynchronous.upsert(versions)
        assert (await asynchronous.get("x")).title == "new"
    assert not shop.refused_once


async def test_what_is_given_up_leaves_nothing_running(shop: FakeGateway) -> None:
    """A caller who stops reading the reports cancels what was started."""
    with Client(shop.address, catalog="shop") as client:
        reports = client.upsert_batches(Source(20))
        next(reports)
        reports.close()  # type: ignore[attr-defined]  # The iterator is a generator.
    async with AsyncClient(shop.address, catalog="shop") as asynchronous:
        stream = asynchronous.upsert_batches(Source(20))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # The iterator is a generator.
    assert len(shop.upserts) <= 2 * (IN_FLIGHT + 1)


async def test_a_gateway_that_is_full_is_asked_again_by_the_same_id(shop: FakeGateway) -> None:
    """A call that is made again carries its request id, so that nothing is written twice."""
    full = ResourceExhausted("full", retry_after_s=0.01)
    with Client(shop.address, catalog="shop") as client:
        shop.failures.extend([full, full])
        assert len(client.upsert(Source(4)).outcomes) == 4
    async with AsyncClient(shop.address, catalog="shop") as asynchronous:
        shop.failures.extend([full, DeadlineExceeded("late")])
        assert len((await asynchronous.upsert(Source(4))).outcomes) == 4
    ids = [request.request_id for request in shop.upserts]
    assert (len(ids), len(set(ids))) == (8, 4)
    by_id = {request.request_id: request for request in shop.upserts}
    assert all(by_id[request.request_id] == request for request in shop.upserts)


async def test_what_no_patience_mends_is_raised(shop: FakeGateway) -> None:
    """A refusal is raised at once, and what stays away when the patience ends."""
    with Client(shop.address, catalog="shop") as client:
        shop.failures.append(FailedPrecondition("other models", reason="MODEL_MISMATCH"))
        with pytest.raises(FailedPrecondition):
            client.upsert(Source(1))
        shop.failures.append(ResourceExhausted("full", retry_after_s=9))
        with pytest.raises(ResourceExhausted):
            client.upsert(Source(1), patience_s=0.1)
        with pytest.raises(InvalidArgument):
            client.upsert([Product("no/id")])
    async with AsyncClient(shop.address, catalog="shop") as asynchronous:
        shop.failures.append(ResourceExhausted("full", retry_after_s=9))
        with pytest.raises(ResourceExhausted):
            await asynchronous.upsert(Source(1), patience_s=0.1)
        # Last: the other calls of this one may arrive after it was given up.
        shop.failures.append(FailedPrecondition("other models", reason="MODEL_MISMATCH"))
        with pytest.raises(FailedPrecondition):
            await asynchronous.upsert(Source(6))


def test_the_revision_of_a_report_sees_all_calls() -> None:
    """Calls that overlap may end out of order, so it is the greatest."""
    assert UpsertReport.of([UpsertReport((), 7), UpsertReport((), 9), UpsertReport((), 8)]).revision == 9


async def test_a_gateway_that_was_never_there_is_not_waited_for() -> None:
    """The first call that nobody answers is the last, however patient the caller is."""
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable, match="nothing answers"):
        client.upsert(Source(4), patience_s=3600)
    async with AsyncClient("127.0.0.1:9") as asynchronous:
        with pytest.raises(Unavailable, match="nothing answers"):
            await asynchronous.upsert(Source(4), patience_s=3600)
