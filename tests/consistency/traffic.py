"""Callers who write, read, list and search without a pause, through all gateways, and note what they see."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from services.mesh import status
from services.mesh.errors import (
    Aborted,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from tests.consistency.calls import Gateway, looks_like, number, product_id, product_of, text
from tests.consistency.history import History, Kind, Read, Searched, State, Write
from vitrine.v1 import catalog_pb2, search_pb2

PRODUCTS = 40
WRITERS, SEARCHERS, READERS = 4, 2, 2
MAX_BATCH = 8
MAX_TRIES = 4
# What callers may be told while processes are killed. Nobody knows what became of a write then.
AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)

PATIENCE_S = 300.0
_PAUSE_S = 0.02
_TRY_AGAIN_S = 0.3
_MASK = ["attributes.version", "attributes.price"]

Answer = TypeVar("Answer")


class Traffic:
    """Callers of a catalogue that no one else writes to."""

    def __init__(self, catalog: str, gateways: Sequence[Gateway], seed: int) -> None:
        self.history = History()
        self._catalog = catalog
        self._gateways = gateways
        self._seed = seed
        self._versions = itertools.count(1)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Let it flow meanwhile. What nobody should be told fails the test at once."""
        stopping = asyncio.Event()

        async def repeat(work: Callable[[random.Random], Awaitable[None]], seed: int) -> None:
            chance = random.Random(seed)
            while not stopping.is_set():
                await work(chance)
                await asyncio.sleep(_PAUSE_S)

        works = [self._write] * WRITERS + [self._search] * SEARCHERS + [self._read] * READERS
        async with asyncio.TaskGroup() as group:
            for caller, work in enumerate(works):
                group.create_task(repeat(work, self._seed * 100 + caller))
            try:
                yield
            finally:
                stopping.set()

    async def everywhere(self) -> None:
        """Return when every product has been written, which takes longer where little can be done."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.history.acknowledged) < PRODUCTS:  # noqa: ASYNC110 - callers note it in passing
                await asyncio.sleep(_PAUSE_S)

    def _name(self, product: str) -> str:
        return f"catalogs/{self._catalog}/products/{product}"

    def _any(self, chance: random.Random) -> str:
        return f"p{chance.randrange(PRODUCTS):02d}"

    async def _write(self, chance: random.Random) -> None:
        works = (self._upsert, self._update, self._update, self._delete)
        await chance.choice(works)(chance)

    async def _tried(
        self, chance: random.Random, ask: Callable[[Gateway, str], Awaitable[Answer]]
    ) -> Answer | None:
        """The answer to a write, asked again as the same request where nobody knows; None at last."""
        request_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        for _ in range(chance.randint(1, MAX_TRIES)):
            try:
                return await ask(chance.choice(self._gateways), request_id)
            except AWAY as error:
                self.history.events[f"write {type(error).__name__}"] += 1
                await asyncio.sleep(_TRY_AGAIN_S * chance.random())
        return None

    async def _upsert(self, chance: random.Random) -> None:
        count = chance.randint(1, MAX_BATCH)
        ids = chance.sample(range(PRODUCTS), count)
        writes = [
            self.history.begin(
                Write(Kind.UPSERT, f"p{each:02d}", f"v{next(self._versions)}", chance.randrange(1 << 16))
            )
            for each in ids
        ]
        products = [
            product_of(
                self._catalog,
                write.product_id,
                title=f"title {write.version}",
                photos=[write.photo],
                attributes={"version": text(write.version), "price": number(write.photo)},
            )
            for write in writes
        ]
        response = await self._tried(
            chance, lambda gateway, key: gateway.upsert(self._catalog, products, request_id=key)
        )
        if response is None:
            return
        for write, result in zip(writes, response.results, strict=True):
            if not result.status.code:
                self.history.acknowledge(write, response.revision, is_exact=not result.unchanged)
                continue
            error = status.from_item(result.status)
            assert isinstance(error, AWAY), error

    async def _update(self, chance: random.Random) -> None:
        """Change the attributes of a product as it was read, or as it happens to be."""
        product = self._any(chance)
        write = Write(Kind.DESCRIBE, product, f"v{next(self._versions)}")
        asked = product_of(
            self._catalog,
            product,
            attributes={"version": text(write.version), "price": number(len(write.version))},
        )
        if chance.random() < 0.5:
            found = await self._get(chance, product)
            if found is None:
                return
            write.over, asked.etag = _version(found), found.etag
        self.history.begin(write)
        try:
            answer = await self._tried(
                chance, lambda gateway, key: gateway.update(asked, _MASK, request_id=key)
            )
        except Aborted as error:
            assert error.reason == "ETAG_MISMATCH", error
            self.history.refuse(write)
        except NotFound:
            # Or it was written, and deleted by another before it could be told.
            self.history.events["describe not found"] += 1
        else:
            if answer is not None:
                is_ours = _version(answer) == write.version
                self.history.see(product, answer.revision)
                self.history.acknowledge(write, answer.revision, is_exact=is_ours)

    async def _delete(self, chance: random.Random) -> None:
        product = self._any(chance)
        write = self.history.begin(Write(Kind.DELETE, product, f"v{next(self._versions)}"))
        try:
            revision = await self._tried(
                chance, lambda gateway, key: gateway.delete(self._name(product), request_id=key)
            )
        except NotFound:
            self.history.refuse(write)
        else:
            if revision is not None:
                self.history.acknowledge(write, revision)

    async def _get(self, chance: random.Random, product: str) -> catalog_pb2.Product | None:
        """A product if it is there and somebody answers."""
        floor = self.history.acknowledged.get(product, 0)
        try:
            found = await chance.choice(self._gateways).get(self._name(product))
        except NotFound:
            self.history.reads.append(Read(product, floor, None))
            return None
        except AWAY as error:
            self.history.events[f"read {type(error).__name__}"] += 1
            return None
        self.history.reads.append(Read(product, floor, state_of(found)))
        self.history.see(product, found.revision)
        return found

    async def _read(self, chance: random.Random) -> None:
        """Read a product, or all of them in pages."""
        if chance.random() < 0.7:
            await self._get(chance, self._any(chance))
            return
        token, after = "", ""
        while True:
            floors = dict(self.history.acknowledged)
            try:
                page = await chance.choice(self._gateways).page(self._catalog, size=7, token=token)
            except AWAY as error:
                self.history.events[f"list {type(error).__name__}"] += 1
                return
            found = {product_id(product.name): state_of(product) for product in page.products}
            assert list(found) == sorted(found)
            token = page.next_page_token
            last = max(found) if token else "q"
            for each in (f"p{place:02d}" for place in range(PRODUCTS)):
                if after < each <= last:
                    self.history.reads.append(Read(each, floors.get(each, 0), found.get(each)))
            if not token:
                return
            after = last

    async def _search(self, chance: random.Random) -> None:
        """Search for all products, as of the last acknowledged write or not."""
        floor = self.history.last if chance.random() < 0.5 else 0
        staleness_s = chance.choice((0.0, 0.0, 2.0))
        request = looks_like(self._catalog, chance.randrange(4), staleness_s=staleness_s, min_revision=floor)
        try:
            await self._note(chance.choice(self._gateways), request)
        except AWAY as error:
            self.history.events[f"search {type(error).__name__}"] += 1

    async def look(self, gateway: Gateway, *, floor: int) -> None:
        """Search for all products through one gateway."""
        await self._note(gateway, looks_like(self._catalog, 0, min_revision=floor))

    async def _note(self, gateway: Gateway, request: search_pb2.SearchRequest) -> None:
        response = await gateway.search(request)
        found: dict[str, State | None] = {
            product_id(hit.product.name): state_of(hit.product) if hit.product.revision else None
            for hit in response.hits
        }
        assert len(found) == len(response.hits)
        # What is told of products while the store is away may be old.
        if "metadata" in response.degraded:
            found = dict.fromkeys(found)
        for reason in response.degraded:
            self.history.events[f"search degraded by {reason.partition(':')[0]}"] += 1
        is_whole = response.shards_ok == response.shards_total
        self.history.searches.append(Searched(request.min_revision, response.revision, is_whole, found))


def state_of(product: catalog_pb2.Product) -> State:
    """What tells one state of a product from another."""
    return product.revision, _version(product)


def _version(product: catalog_pb2.Product) -> str:
    return product.attributes["version"].values[0].text
