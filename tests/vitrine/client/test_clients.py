"""Both clients against one gateway; they share their operations, so each is asked for all of them once."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

import vitrine
from services.mesh.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine import AsyncClient, Client, Photo, Product
from vitrine.client.operations import Timeouts

PRODUCTS = [Product(f"a{i}", f"Shirt {i}", photos=[Photo(content=b"jpeg%d" % i)]) for i in range(5)]


def test_a_catalogue_is_written_and_read(gateway: FakeGateway) -> None:
    """Everything that the synchronous client writes is what it reads afterwards."""
    with Client(gateway.address, catalog="shop") as client:
        assert client.create_catalog().id == "shop"
        with pytest.raises(AlreadyExists):
            client.create_catalog()
        report = client.upsert(PRODUCTS)
        assert [outcome.error for outcome in report.outcomes] == [None] * 5
        assert report.revision == gateway.revision
        assert client.get("a3").title == "Shirt 3"
        assert [product.id for product in client.list()] == ["a0", "a1", "a2", "a3", "a4"]
        assert client.delete("a3") == gateway.revision
        with pytest.raises(NotFound):
            client.get("a3")
        assert client.get_catalog().products == 4
        assert [catalog.id for catalog in client.catalogs()] == ["shop"]


async def test_a_catalogue_is_written_and_read_on_a_loop(gateway: FakeGateway) -> None:
    """Everything that the asynchronous client writes is what it reads afterwards."""
    async with AsyncClient(gateway.address, catalog="shop") as client:
        assert (await client.create_catalog()).spaces == ("clip",)
        report = await client.upsert(PRODUCTS)
        assert not any(outcome.unchanged for outcome in report.outcomes)
        assert all(outcome.unchanged for outcome in (await client.upsert(PRODUCTS)).outcomes)
        assert (await client.get("a3")).title == "Shirt 3"
        assert [product.id async for product in client.list()] == ["a0", "a1", "a2", "a3", "a4"]
        await client.delete("a3")
        assert (await client.get_catalog()).products == 4
        assert [catalog.id async for catalog in client.catalogs()] == ["shop"]


def test_results_tell_how_they_came_about(gateway: FakeGateway) -> None:
    """A page has its hits with similarity, band and terms, and says what it lacks and how long it took."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert(PRODUCTS)
        results = client.search(text="shirt", k=2, explain=True, facets=["colour"])
    hit = results.hits[0]
    assert (hit.product.id, hit.similarity, hit.band, hit.terms[0].name) == (
        "a0",
        81.0,
        "high",
        "visual.clip",
    )
    assert (results.degraded, results.cache, results.stages) == (("ranker",), "miss", {"search": 1.5})
    assert results.facets[0].counts == (("Red", 5),)
    assert results.took_ms > 0


async def test_pages_go_on_to_the_last(gateway: FakeGateway) -> None:
    """Both clients yield every page of a search, none twice."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert(PRODUCTS)
        pages = [[hit.product.id for hit in page.hits] for page in client.pages(text="shirt", k=2)]
    assert pages == [["a0", "a1"], ["a2", "a3"], ["a4"]]
    async with AsyncClient(gateway.address, catalog="shop") as other:
        again = [[hit.product.id for hit in page.hits] async for page in other.pages(text="shirt", k=2)]
    assert again == pages


def test_a_bad_product_does_not_fail_the_others(gateway: FakeGateway) -> None:
    """Each product has its own outcome, and a bad photo among good ones is told by its place."""
    bad, good = Photo(content=BAD_PHOTO), Photo(content=b"jpeg")
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        outcomes = client.upsert(
            [Product("a", photos=[bad]), Product("b", photos=[good, bad]), Product("c", photos=[good])]
        ).outcomes
    assert isinstance(outcomes[0].error, InvalidArgument)
    assert outcomes[1].error is None
    assert list(outcomes[1].photo_errors) == [1]
    assert not outcomes[2].photo_errors


def test_a_refusal_names_the_field(gateway: FakeGateway) -> None:
    """The error that the gateway answers with comes out as the domain's, with its field."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        with pytest.raises(InvalidArgument) as caught:
            client.search(text="a", k=0)
    assert caught.value.field == "k"


def test_a_gateway_that_is_away_for_a_moment_is_asked_again(gateway: FakeGateway) -> None:
    """UNAVAILABLE is retried by the channel, so a short outage is not seen."""
    gateway.catalogs["shop"] = {}
    gateway.failures.append(Unavailable("restarting"))
    with Client(gateway.address, catalog="shop") as client:
        assert client.get_catalog().id == "shop"


async def test_nobody_there_is_told_in_plain_words() -> None:
    """Where nothing listens the error says so, and what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with Client(address) as client, pytest.raises(Unavailable, match=f"{address}: is `vitrine up` running"):
        client.search(text="a")
    async with AsyncClient(address) as other:
        with pytest.raises(Unavailable, match="is `vitrine up` running"):
            await other.search(text="a")


def test_a_call_ends_at_its_deadline() -> None:
    """A server that never answers costs no more than the timeout, and is DEADLINE_EXCEEDED."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with Client(address, timeouts=Timeouts(read_s=0.2)) as client, pytest.raises(DeadlineExceeded):
            client.search(text="a")


def test_the_package_exports_the_client_lazily() -> None:
    """`vitrine.Client` is there, but importing the stubs does not import it."""
    assert vitrine.Client is Client
    with pytest.raises(AttributeError):
        vitrine.Clyent  # noqa: B018
    code = "import sys, vitrine.v1.search_pb2; sys.exit('vitrine.client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
