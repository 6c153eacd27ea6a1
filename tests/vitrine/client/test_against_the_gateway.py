"""The client against the real gateway over fake services: what it reads is what a gateway says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.gateway.server import add_services, admit
from services.mesh.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from tests.gateway.fakes import photo
from tests.gateway.rigs import Rig, rigged
from vitrine import AsyncClient, Client, Photo, Product, Timeouts
from vitrine.client.results import SearchResults

ADMIN_KEY = "vk_bootstrap_of_this_test"
# A machine that stands still for a second is no fault of the gateway.
PATIENT = Timeouts(read_s=60, write_s=60)


@asynccontextmanager
async def served(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[Rig, str]]:
    """A rig and where its gateway listens."""
    async with rigged(data_dir, **settings) as rig:
        host = Host(ServiceSettings(drain_s=0, log_level="ERROR"), "gateway")
        add_services(host, rig.gateway)
        admit(host, rig.gateway.access)
        port = await host.start()
        waiting = asyncio.create_task(host.wait())
        try:
            yield rig, f"127.0.0.1:{port}"
        finally:
            host.stop()
            await waiting


async def test_products_live_a_whole_life(tmp_path: Path) -> None:
    """Created, read in part, changed under an etag, found, told apart from others, and deleted."""
    async with (
        served(tmp_path) as (rig, address),
        AsyncClient(address, catalog="shop", timeouts=PATIENT) as client,
    ):
        assert (await client.create_catalog()).generations[0].state == "active"
        made = await client.create(
            Product("a", "Red shoe", "Old.", {"colour": "red", "price": 9.5}, [Photo(content=photo(1))])
        )
        assert (made.product.title, made.photo_errors) == ("Red shoe", {})
        report = await client.upsert(Product(f"p{i}", photos=[Photo(content=photo(i + 2))]) for i in range(5))
        assert [outcome.error for outcome in report.outcomes] == [None] * 5
        partly = await client.get("a", fields=["title", "attributes.price"])
        assert (partly.id, partly.title, partly.attributes, partly.photos) == (
            "a",
            "Red shoe",
            {"price": 9.5},
            (),
        )
        read = await client.get("a")
        changed = (await client.update(replace(read, title="Blue shoe"), fields=["title"])).product
        assert (changed.title, changed.description, len(changed.photos)) == ("Blue shoe", "Old.", 1)
        with pytest.raises(Aborted):
            await client.update(replace(read, title="Green shoe"), fields=["title"])
        await rig.sync()
        found = await client.search(product="a", k=2, fields=["title"])
        assert len(found.hits) == 2
        assert found.hits[0].product.attributes == {}
        assert len([hit async for hit in client.hits(product="a", k=2)]) == 5
        good, bad = await client.batch_search([{"product": "a", "k": 1}, {"product": "none"}])
        assert isinstance(good, SearchResults)
        assert isinstance(bad, NotFound)
        with pytest.raises(Aborted):
            await client.delete("a", etag=read.etag)
        await client.delete("a", etag=changed.etag)
        await client.delete("a", missing_ok=True)
        assert [product.id async for product in client.list(fields=["etag"], page_size=2)] == [
            f"p{i}" for i in range(5)
        ]


async def test_generations_and_catalogues_come_and_go(tmp_path: Path) -> None:
    """What the gateway refuses keeps its reason; a catalogue with products goes by force."""
    async with (
        served(tmp_path) as (_, address),
        AsyncClient(address, catalog="shop", timeouts=PATIENT) as client,
    ):
        await client.create_catalog()
        await client.upsert([Product("a", "Shoe")])
        with pytest.raises(FailedPrecondition) as same:
            await client.create_generation()
        assert same.value.reason == "SAME_GENERATION"
        with pytest.raises(FailedPrecondition) as active:
            await client.delete_generation("g1")
        assert active.value.reason == "ACTIVE"
        assert (await client.await_generation("g1")).state == "active"
        with pytest.raises(FailedPrecondition) as full:
            await client.delete_catalog()
        assert full.value.reason == "NOT_EMPTY"
        await client.delete_catalog(force=True)
        with pytest.raises(NotFound):
            await client.get_catalog()


async def test_a_search_is_remembered_with_what_was_made_of_it(tmp_path: Path) -> None:
    """Feedback on a hit is in the query log, and counts in its sums."""
    async with served(tmp_path) as (rig, address):
        await rig.fill(3)

        def use() -> None:
            with Client(address, catalog="shop", timeouts=PATIENT) as client:
                found = client.search(text="red shoe")
                client.feedback(found.query_id, found.hits[0].product.id, "like", place=1)
                (logged,) = client.queries()
                assert (logged.query_id, logged.texts, logged.hits) == (found.query_id, ("red shoe",), 3)
                assert [each.kind for each in logged.feedback] == ["like"]
                stats = client.query_stats()
                assert (stats.queries, stats.engaged, stats.top_texts) == (1, 1, (("red shoe", 1),))
                with pytest.raises(NotFound):
                    client.feedback("0" * len(found.query_id), "p0", "click")

        await asyncio.to_thread(use)


async def test_keys_open_what_they_are_for(tmp_path: Path) -> None:
    """An admin's key makes others; each opens what its scope says, and nothing else."""
    hashed = hashlib.sha256(ADMIN_KEY.encode()).hexdigest()
    async with served(tmp_path, access="keys", admin_key_hash=hashed) as (_, address):

        def use() -> None:
            with Client(address, timeouts=PATIENT) as stranger, pytest.raises(Unauthenticated):
                stranger.get_catalog()
            with Client(address, catalog="shop", key=ADMIN_KEY, timeouts=PATIENT) as admin:
                admin.create_catalog()
                made = admin.create_api_key("Page", "search", catalogs=["shop"])
                assert [key.id for key in admin.api_keys()] == [made.key.id]
            with Client(address, catalog="shop", key=made.secret, timeouts=PATIENT) as page:
                assert page.get_catalog().products == 0
                with pytest.raises(PermissionDenied):
                    page.delete_catalog()
            with Client(address, key=ADMIN_KEY, timeouts=PATIENT) as admin:
                admin.delete_api_key(made.key.id)
                with pytest.raises(InvalidArgument):
                    admin.create_api_key("x" * 300, "admin")

        await asyncio.to_thread(use)
