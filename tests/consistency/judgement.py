"""The log as the truth, and what callers saw, the projections and the shards held against it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.store.interface import Entry, ProductChange, Store, StoredProduct
from services.mesh.buckets import BUCKETS, bucket_of, shard_of
from services.mesh.channel import call
from tests.consistency.history import History, Kind, Outcome, Read, Searched, State, Write
from tests.consistency.mesh import SHARDS
from tests.consistency.pictures import digest_of
from vitrine.v1 import catalog_pb2, vectorsearch_pb2, vectorsearch_pb2_grpc

PAGE = 256


@dataclass(frozen=True, slots=True)
class Step:
    """What a product became in an entry of the log; `product` is None where it was deleted."""

    revision: int
    change: ProductChange
    product: catalog_pb2.Product | None

    @property
    def version(self) -> str | None:
        """The version of the write that did it."""
        return self.product.attributes["version"].values[0].text if self.product else None


class Truth:
    """The log of a store, which must be without a gap, as the course of one catalogue's products."""

    def __init__(self, catalog: str, entries: Sequence[Entry]) -> None:
        self.catalog = catalog
        self.head = len(entries)
        self.courses: dict[str, list[Step]] = {}
        assert [entry.revision for entry in entries] == list(range(1, self.head + 1)), "the log has a gap"
        for entry in entries:
            for change in entry.changes:
                if change.catalog == catalog:
                    product = None
                    if change.product is not None:
                        product = catalog_pb2.Product.FromString(change.product)
                    step = Step(entry.revision, change, product)
                    self.courses.setdefault(change.product_id, []).append(step)

    @classmethod
    async def of(cls, store: Store, catalog: str) -> Truth:
        """Read it from a store."""
        entries: list[Entry] = []
        while some := await store.entries(len(entries)):
            entries += some
        return cls(catalog, entries)

    @property
    def living(self) -> dict[str, Step]:
        """The products that there are in the end."""
        return {product_id: course[-1] for product_id, course in self.courses.items() if course[-1].product}

    def states(self, product_id: str, since: int) -> list[Step | None]:
        """The states of a product as of a revision and later, None before it was first written."""
        course = self.courses.get(product_id, [])
        place = bisect_right([step.revision for step in course], since)
        return [course[place - 1] if place else None, *course[place:]]

    def was_absent(self, product_id: str, since: int) -> bool:
        """Whether a product was not there at a revision, or has not been at some time since."""
        return any(step is None or step.product is None for step in self.states(product_id, since))

    def had(self, product_id: str, state: State, since: int) -> bool:
        """Whether a product was in a state at a revision, or has been since."""
        return any(
            step is not None and step.product is not None and (step.revision, step.version) == state
            for step in self.states(product_id, since)
        )

    def was_there(self, product_id: str, since: int) -> bool:
        """Whether a product was there at a revision, or has been since."""
        return any(step is not None and step.product is not None for step in self.states(product_id, since))


def judge(truth: Truth, history: History) -> None:
    """Hold all that callers were told to what the log says has happened."""
    judge_writes(truth, history.writes)
    for read in history.reads:
        judge_read(truth, read)
    for searched in history.searches:
        judge_search(truth, searched)


def judge_writes(truth: Truth, writes: Mapping[str, Write]) -> None:
    """No acknowledged write is missing, none is there twice, none that was refused, and each did its work.

    A write over a version came right after it. What a write did not state stayed as it was.
    """
    placed: dict[str, int] = {}
    deletions: dict[str, list[int]] = {}
    for product_id, course in truth.courses.items():
        for before, step in zip([None, *course], course, strict=False):
            if step.version is None:
                assert before is not None, step
                assert before.product is not None, step
                deletions.setdefault(product_id, []).append(step.revision)
                continue
            write = writes[step.version]
            assert write.version not in placed, f"{write} was written twice"
            assert (write.product_id, write.outcome is Outcome.REFUSED) == (product_id, False), write
            assert write.over is None or (before is not None and before.version == write.over), write
            assert _stated(step.product) == _expected(write, before), write
            placed[write.version] = step.revision
    for write in writes.values():
        if write.outcome is not Outcome.ACKNOWLEDGED:
            continue
        if write.kind is Kind.DELETE:
            assert write.revision in deletions[write.product_id], f"{write} is lost"
            continue
        place = placed.get(write.version, 0)
        assert place, f"{write} is lost"
        assert place == write.revision if write.is_exact else place <= write.revision, (write, place)
    for product_id, revisions in deletions.items():
        of_it = [
            write for write in writes.values() if write.kind is Kind.DELETE and write.product_id == product_id
        ]
        told = {write.revision for write in of_it if write.outcome is Outcome.ACKNOWLEDGED}
        untold = [revision for revision in revisions if revision not in told]
        assert len(untold) <= sum(write.outcome is Outcome.UNKNOWN for write in of_it), product_id


def _stated(product: catalog_pb2.Product | None) -> tuple[str, float, list[str]]:
    assert product is not None
    return (
        product.title,
        product.attributes["price"].values[0].number,
        [photo.digest for photo in product.photos],
    )


def _expected(write: Write, before: Step | None) -> tuple[str, float, list[str]]:
    if write.kind is Kind.UPSERT:
        return f"title {write.version}", write.photo, [digest_of(write.photo)]
    assert before is not None
    title, _, photos = _stated(before.product)
    return title, len(write.version), photos


def judge_read(truth: Truth, read: Read) -> None:
    """A read sees what was acknowledged before it began, or something later."""
    if read.found is None:
        assert truth.was_absent(read.product_id, read.floor), read
    else:
        assert truth.had(read.product_id, read.found, read.floor), read


def judge_search(truth: Truth, searched: Searched) -> None:
    """A search sees all up to its revision, and each product as of what was asked for, or later."""
    assert searched.revision >= searched.floor, searched
    for product_id, state in searched.found.items():
        assert truth.was_there(product_id, searched.revision), (product_id, searched)
        assert state is None or truth.had(product_id, state, searched.floor), (product_id, searched)
    if searched.is_whole:
        for product_id in truth.courses.keys() - searched.found.keys():
            assert truth.was_absent(product_id, searched.revision), (product_id, searched)


async def judge_projections(
    truth: Truth, store: Store, generations: Sequence[str] = ("g1",)
) -> dict[str, StoredProduct]:
    """The store has the products that the log leads to, with their rows of these generations alone: these."""
    stored: dict[str, StoredProduct] = {}
    key = None
    while page := await store.scan(range(BUCKETS), key, PAGE):
        key = page[-1].catalog, page[-1].product_id
        stored |= {each.product_id: each for each in page if each.catalog == truth.catalog}
    living = truth.living
    assert stored.keys() == living.keys()
    for product_id, step in living.items():
        each = stored[product_id]
        assert (each.revision, each.product) == (step.revision, step.change.product), product_id
        rows: dict[str, bytes] = {}
        for earlier in truth.courses[product_id]:
            rows = {} if earlier.product is None else rows | dict(earlier.change.rows or {})
        assert dict(each.rows) == {name: rows[name] for name in generations}, product_id
    counts = await store.counts(truth.catalog)
    assert (counts.products, counts.photos) == (
        len(living),
        sum(len(_photos(step)) for step in living.values()),
    )
    return stored


def _photos(step: Step) -> Sequence[catalog_pb2.Photo]:
    assert step.product is not None
    return step.product.photos


async def judge_shards(
    truth: Truth,
    stored: Mapping[str, StoredProduct],
    stubs: Sequence[vectorsearch_pb2_grpc.VectorSearchServiceAsyncStub],
    generations: Sequence[str] = ("g1",),
) -> None:
    """Every shard holds its products, and no others, with the vectors and attributes that the store has."""
    for shard, stub in enumerate(stubs):
        own = {
            product_id: each
            for product_id, each in stored.items()
            if shard_of(bucket_of(truth.catalog, product_id), SHARDS) == shard
        }
        status = await call(stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=60)
        assert status.revision == truth.head
        held = {
            each.generation: each.products
            for catalog in status.catalogs
            if catalog.catalog == truth.catalog
            for each in catalog.generations
            if each.products
        }
        assert held == (dict.fromkeys(generations, len(own)) if own else {}), (shard, held)
        for generation in generations:
            assert await _held(stub, truth, generation) == {
                product_id: _due(each, generation) for product_id, each in own.items()
            }


Rows = tuple[str, list[tuple[str, list[bytes]]]]
"""A product's version, and for each photo its id and its vectors."""


def _due(stored: StoredProduct, generation: str) -> Rows:
    rows = catalog_pb2.ProductRows.FromString(stored.rows[generation])
    version = stored.message().attributes["version"].values[0].text
    return version, _vectors(rows.photos)


def _vectors(photos: Sequence[vectorsearch_pb2.PhotoVectors]) -> list[tuple[str, list[bytes]]]:
    return sorted(
        (photo.photo_id, [vector.data for vector in sorted(photo.vectors, key=lambda each: each.space)])
        for photo in photos
    )


async def _held(
    stub: vectorsearch_pb2_grpc.VectorSearchServiceAsyncStub, truth: Truth, generation: str
) -> dict[str, Rows]:
    """What a shard has of all products that there ever were."""
    ids = sorted(truth.courses)
    found: dict[str, Rows] = {}
    for start in range(0, len(ids), 100):
        request = vectorsearch_pb2.GetVectorsRequest(
            catalog=truth.catalog,
            generation=generation,
            product_ids=ids[start : start + 100],
            label_names=["version"],
            min_revision=truth.head,
        )
        response = await call(stub.GetVectors, request, timeout_s=60)
        for product in response.products:
            found[product.product_id] = product.labels[0].value, _vectors(product.photos)
    return found
