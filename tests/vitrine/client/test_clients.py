"""Both clients against one gateway; they share their operations, so each is asked for all of them once."""

from __future__ import annotations

import inspect
import re
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import vitrine
from services.mesh.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine import AsyncClient, Client, Photo, Product, SearchResults
from vitrine.client.base import ONCE
from vitrine.client.operations import Timeouts
from vitrine.client.results import Facet, FacetRange
from vitrine.v1 import access_pb2, catalog_pb2, queries_pb2, search_pb2, status_pb2

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
    assert results.facets[0] == Facet("colour", (("Red", 5),), (FacetRange(30, 50, 5),))
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


async def test_what_is_not_known_to_be_done_is_not_done_again(gateway: FakeGateway) -> None:
    """A key is made once, and a catalogue deleted once, where the answer says that nobody knows."""
    gateway.catalogs["shop"] = {}
    with Client(gateway.address, catalog="shop") as client:
        gateway.failures.append(Unavailable("restarting"))
        with pytest.raises(Unavailable):
            client.create_api_key("shop", "write")
        gateway.failures.append(Unavailable("restarting"))
        with pytest.raises(Unavailable):
            client.delete_catalog()
    async with AsyncClient(gateway.address, catalog="shop") as other:
        gateway.failures.append(Unavailable("restarting"))
        with pytest.raises(Unavailable):
            await other.create_api_key("shop", "write")


def test_every_call_can_be_made_again_or_never_is() -> None:
    """What reads, or carries a request id, or changes nothing the second time; all else is made once."""
    again = {"BatchSearch", "Search", "QueryStats", "ActivateGeneration", "RecordFeedback"}
    calls = set()
    for file in (access_pb2, catalog_pb2, queries_pb2, search_pb2, status_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            calls |= {
                f"/{service.full_name}/{method.name}"
                for method in service.methods
                if not method.server_streaming
                and not method.name.startswith(("Get", "List"))
                and "request_id" not in method.input_type.fields_by_name
                and method.name not in again
            }
    assert calls == set(ONCE)


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


def test_both_clients_can_do_the_same() -> None:
    """No method is in one client alone, and each tells what it does and what it is given."""
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names == {name for name in dir(AsyncClient) if not name.startswith("_")}
    with Client() as client:
        for name in names - {"run", "items"}:
            assert getattr(Client, name).__doc__
            assert "timeouts" not in inspect.signature(getattr(client, name)).parameters
        assert list(inspect.signature(client.update).parameters) == ["product", "fields", "allow_missing"]


def test_hits_and_batches_of_searches(gateway: FakeGateway) -> None:
    """Hits come from all pages; of several searches each has its own results or its own error."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert(PRODUCTS)
        assert [hit.product.id for hit in client.hits(text="shirt", k=2)] == ["a0", "a1", "a2", "a3", "a4"]
        assert [hit.product.id for hit in client.hits(text="shirt", k=2, page_token="4")] == ["a4"]
        found, refused = client.batch_search([{"text": "shirt", "k": 1}, {"text": "a", "profile": "none"}])
        assert isinstance(found, SearchResults)
        assert found.hits[0].product.id == "a0"
        assert isinstance(refused, InvalidArgument)
        assert refused.field == "profile"
        with pytest.raises(InvalidArgument) as caught:
            client.batch_search([{"text": "shirt"}, {}])
    assert caught.value.field == "searches[1].query"


def test_only_some_fields_are_read(gateway: FakeGateway) -> None:
    """A read mask leaves out what was not asked for, and never the id."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert([Product("a", "Shirt", "Blue."), Product("b", "Coat")])
        assert client.get("a", fields=["description"]) == Product("a", description="Blue.")
        listed = list(client.list(fields=["title"], page_size=7, near_duplicates_only=False))
        assert listed == [Product("a", "Shirt"), Product("b", "Coat")]
        assert client.search(text="a", fields=["title"]).hits[0].product == Product("a", "Shirt")
        with pytest.raises(InvalidArgument, match="a list of names"):
            client.get("a", fields="title")
    assert gateway.listed[0].page_size == 7


def test_a_product_is_created_changed_and_deleted(gateway: FakeGateway) -> None:
    """Each write is refused where it does not fit, and what was read guards against what came between."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        assert client.create(Product("a", "Shirt", "Blue.")).product.title == "Shirt"
        with pytest.raises(AlreadyExists):
            client.create(Product("a"))
        read = client.get("a")
        changed = client.update(replace(read, title="Coat", description="-"), fields=["title"]).product
        assert (changed.title, changed.description) == ("Coat", "Blue.")
        with pytest.raises(Aborted):
            client.update(replace(read, title="Hat"))
        with pytest.raises(NotFound):
            client.update(Product("b", "Hat"))
        assert client.update(Product("b", "Hat"), allow_missing=True).product.id == "b"
        outcomes = client.upsert([replace(read, title="Hat"), Product("b", "Cap")]).outcomes
        assert isinstance(outcomes[0].error, Aborted)
        assert outcomes[1].etag == client.get("b").etag
        with pytest.raises(Aborted):
            client.delete("a", etag=read.etag)
        client.delete("a", etag=changed.etag)
        assert client.delete("a", missing_ok=True) == gateway.revision


def test_photos_that_cannot_be_sent_are_not_removed() -> None:
    """A mask that names the photos of a product that was read would remove them, and is refused."""
    read = Product("a", "Shirt", photos=[Photo(id="p", digest="d")])
    with Client() as client:
        for field in ("photos", "*"):
            with pytest.raises(InvalidArgument) as caught:
                client.update(read, fields=[field])
            assert caught.value.field == "fields"


async def test_catalogues_and_generations_come_and_go(gateway: FakeGateway) -> None:
    """A catalogue with products goes by force alone; a generation is built, activated and deleted."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert(PRODUCTS)
        assert client.create_generation().state == "building"
        with pytest.raises(FailedPrecondition):
            client.activate_generation("g2")
        assert client.await_generation("g2", poll_s=0.01).state == "ready"
        catalog = client.activate_generation("g2")
        assert [(each.id, each.state) for each in catalog.generations] == [("g1", "ready"), ("g2", "active")]
        with pytest.raises(FailedPrecondition):
            client.delete_generation("g2")
        client.delete_generation("g1")
        with pytest.raises(NotFound):
            client.await_generation("g1")
        with pytest.raises(InvalidArgument):
            client.delete_generation("1")
        with pytest.raises(FailedPrecondition) as caught:
            client.delete_catalog()
        assert caught.value.reason == "NOT_EMPTY"
    async with AsyncClient(gateway.address, catalog="shop") as other:
        await other.create_generation()
        assert (await other.await_generation("g3", poll_s=0.01)).state == "ready"
        await other.delete_catalog("shop", force=True)
        assert [catalog.id async for catalog in other.catalogs()] == []


async def test_waiting_for_a_generation_ends_with_what_keeps_it(gateway: FakeGateway) -> None:
    """One that does not become ready in time is told with its problem; an outage is waited out."""
    gateway.problem = "the embedder is away"
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.create_generation()
        gateway.failures.extend([ResourceExhausted("full", retry_after_s=0.01)])
        with pytest.raises(DeadlineExceeded, match="g2 has 0 of 0 products: the embedder is away"):
            client.await_generation("g2", timeout_s=0.05, poll_s=0.01)
    async with AsyncClient(gateway.address, catalog="shop") as other:
        gateway.failures.extend([ResourceExhausted("full", retry_after_s=0.01)])
        with pytest.raises(DeadlineExceeded, match="the embedder is away"):
            await other.await_generation("g2", timeout_s=0.05, poll_s=0.01)


def test_feedback_and_the_query_log(gateway: FakeGateway) -> None:
    """What people made of a hit is recorded, and queries are listed and summed up as plain values."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.feedback("q1", "a0", "like", place=2)
        with pytest.raises(NotFound) as caught:
            client.feedback("q9", "a0", "click")
        assert caught.value.reason == "QUERY_UNKNOWN"
        with pytest.raises(InvalidArgument, match="add_to_cart"):
            client.feedback("q1", "a0", "buy")  # type: ignore[arg-type]  # What a caller may get wrong.
        first, second = client.queries(zero_results_only=True, start=start, end=end)
        stats = client.query_stats(start=start)
        with pytest.raises(InvalidArgument, match="time zone"):
            client.query_stats(end=datetime(2026, 2, 1))  # noqa: DTZ001 - what a caller may get wrong
    recorded = gateway.feedback[0]
    assert (recorded.product, recorded.kind, recorded.place) == ("a0", queries_pb2.FEEDBACK_KIND_LIKE, 2)
    assert (first.query_id, first.texts, first.images, first.cache) == ("q1", ("red shoe",), 1, "hit")
    assert first.time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (first.feedback[0].kind, first.feedback[0].place, first.feedback[0].time) == (
        "add_to_cart",
        3,
        None,
    )
    assert second.products == ("a1",)
    assert (stats.queries, stats.latency_p95_ms, stats.top_texts) == (40, 30.0, (("red shoe", 9),))
    asked = gateway.listed[0]
    assert asked.zero_results_only
    assert (asked.start_time.ToDatetime(UTC), asked.end_time.ToDatetime(UTC)) == (start, end)


def test_keys_are_created_listed_and_deleted(gateway: FakeGateway) -> None:
    """A key's secret is told once and shows in no representation; a deleted key is gone."""
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    with Client(gateway.address) as client:
        made = client.create_api_key("Page", "search", catalogs=["shop"], rate_limit_per_s=5, expires=ends)
        assert made.secret == "vk_secret"
        assert "vk_secret" not in repr(made)
        assert list(client.api_keys()) == [made.key]
        assert (made.key.scope, made.key.catalogs, made.key.expires) == ("search", ("shop",), ends)
        client.delete_api_key(made.key.id)
        with pytest.raises(NotFound):
            client.delete_api_key(made.key.id)
        with pytest.raises(InvalidArgument, match="apiKeys"):
            client.delete_api_key("no/key")
        with pytest.raises(InvalidArgument, match="search, write, admin"):
            client.create_api_key("Page", "root")  # type: ignore[arg-type]  # What a caller may get wrong.


async def test_a_key_goes_with_every_call(gateway: FakeGateway) -> None:
    """A gateway that asks who calls is told; without a key the error says what it is about."""
    gateway.key = "vk_abc_def"
    with Client(gateway.address) as stranger, pytest.raises(Unauthenticated):
        list(stranger.catalogs())
    with Client(gateway.address, key="vk_abc_def") as client:
        assert list(client.catalogs()) == []
    async with AsyncClient(gateway.address, key="vk_abc_def") as other:
        assert [catalog async for catalog in other.catalogs()] == []
    with pytest.raises(InvalidArgument) as caught:
        Client(key="two words\n")
    assert caught.value.field == "key"


def test_an_error_of_the_gateway_is_found_in_its_log(gateway: FakeGateway) -> None:
    """The trace id, which the gateway logs, is a note of the error; where nobody answered there is none."""
    gateway.failures.append(FailedPrecondition("no"))
    with Client(gateway.address) as client, pytest.raises(FailedPrecondition) as caught:
        client.get_catalog()
    assert re.fullmatch("trace [0-9a-f]{32}", caught.value.__notes__[0])
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable) as away:
        client.get_catalog()
    assert not hasattr(away.value, "__notes__")
