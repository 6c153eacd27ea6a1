from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.mesh import status
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from tests.ports import reserved
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine.catalogs.rows import CatalogRow, RowProblem
from vitrine.client import AsyncClient, indexing, products
from vitrine.client.busy_hosts import BusyHosts
from vitrine.client.checkpoints import Checkpoint
from vitrine.client.indexing import Policy, RowOutcome
from vitrine.v1 import catalog_pb2

QUICK = Policy(batch_products=2, first_backoff_s=0.001, max_backoff_s=0.01)


@pytest.fixture
def rows(tmp_path: Path) -> list[CatalogRow | RowProblem]:
    """Five products with a photo each."""
    return [_row(tmp_path, number) for number in range(5)]


def _row(directory: Path, number: int, *contents: bytes) -> CatalogRow:
    photos = []
    for place, content in enumerate(contents or (b"jpeg",)):
        photo = directory / f"{number}-{place}.jpg"
        if content:
            photo.write_bytes(content)
        photos.append(photo)
    return CatalogRow(f"a{number}", f"Shirt {number}", "", {"price": [float(number)]}, photos, number + 2)


async def _index(
    gateway: FakeGateway,
    rows: Iterable[CatalogRow | RowProblem],
    policy: Policy = QUICK,
    *,
    checkpoint: Checkpoint | None = None,
    on_busy: Callable[[str, VitrineError], None] | None = None,
) -> list[RowOutcome]:
    async with AsyncClient(gateway.address, catalog="shop") as client:
        await indexing.ensure_catalog(client, policy)
        written = indexing.index(client, rows, policy, checkpoint=checkpoint, on_busy=on_busy)
        found = [outcome async for outcomes in written for outcome in outcomes]
    return sorted(found, key=lambda outcome: outcome.row)


class BusyGateway(FakeGateway):
    """A gateway that fetches nothing: addresses in `busy` fail as often as said."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: dict[str, int] = {}
        self.asked: list[str] = []

    def _upsert(
        self, products: dict[str, catalog_pb2.Product], product: catalog_pb2.Product
    ) -> catalog_pb2.UpsertResult:
        uris = [photo.image.uri for photo in product.photos]
        self.asked += [uri for uri in uris if uri]
        away = status.to_item(Unavailable("503", reason="URI_UNAVAILABLE", retry_after_s=0.0))
        problems = [
            catalog_pb2.PhotoProblem(index=index, status=away)
            for index, uri in enumerate(uris)
            if self.busy.get(uri, 0) > 0
        ]
        for uri in uris:
            if uri in self.busy:
                self.busy[uri] -= 1
        if len(problems) == len(uris) > 0:
            return catalog_pb2.UpsertResult(product=product.name, status=away, photo_problems=problems)
        result = super()._upsert(products, product)
        result.photo_problems.extend(problems)
        return result


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyGateway]:
    failed = BusyHosts.failed
    # A product's own error does not say when to come again, which is read as a second.
    monkeypatch.setattr(BusyHosts, "failed", lambda hosts, host, _: failed(hosts, host, 0.0))
    gateway = BusyGateway()
    with gateway.serving():
        yield gateway


def _linked(number: int, *addresses: str) -> CatalogRow:
    return CatalogRow(f"a{number}", f"Shirt {number}", "", {}, [], number + 2, list(addresses))


async def test_every_row_is_written_once(gateway: FakeGateway, rows: list[CatalogRow | RowProblem]) -> None:
    """Rows become products in batches of the policy's size, each with its outcome."""
    outcomes = await _index(gateway, rows)
    assert [(outcome.row, outcome.product, outcome.outcome) for outcome in outcomes] == [
        (number + 2, f"a{number}", "indexed") for number in range(5)
    ]
    assert sorted(len(request.products) for request in gateway.upserts) == [1, 2, 2]
    assert gateway.catalogs["shop"]["catalogs/shop/products/a3"].attributes["price"].values[0].number == 3


async def test_running_again_writes_nothing(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem]
) -> None:
    """An interrupted run is resumed by running it again: what is there is unchanged, the rest is indexed."""
    await _index(gateway, rows[:3])
    revision = gateway.revision
    outcomes = await _index(gateway, rows)
    assert [outcome.outcome for outcome in outcomes] == ["unchanged"] * 3 + ["indexed"] * 2
    assert gateway.revision == revision + 2


async def test_bad_rows_are_outcomes_and_the_others_are_written(
    gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem of the folder, a photo that is missing, too large or no picture is that row's alone."""
    monkeypatch.setattr(products, "MAX_PHOTO_BYTES", 100)
    outcomes = await _index(
        gateway,
        [
            RowProblem(1, "image", "there is no photo", "a0"),
            _row(tmp_path, 1, b""),
            _row(tmp_path, 2, b"x" * 101),
            _row(tmp_path, 3, BAD_PHOTO),
            _row(tmp_path, 4, b"jpeg", BAD_PHOTO, b"x" * 101),
            _row(tmp_path, 5),
        ],
    )
    assert [outcome.outcome for outcome in outcomes] == ["failed"] * 4 + ["indexed"] * 2
    assert [bool(outcome.message) for outcome in outcomes] == [True] * 5 + [False]
    assert "larger than" in outcomes[4].message
    assert "4-1.jpg: is not a picture" in outcomes[4].message
    assert outcomes[4].photos == 1
    assert sorted(gateway.catalogs["shop"]) == ["catalogs/shop/products/a4", "catalogs/shop/products/a5"]


@pytest.mark.parametrize("failure", [Unavailable("restarting"), ResourceExhausted("full", retry_after_s=0.0)])
async def test_an_outage_is_waited_for_with_the_same_request_id(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem], failure: VitrineError
) -> None:
    """A call that failed is made again as it was, more often than the channel alone would retry it."""
    gateway.catalogs["shop"] = {}
    gateway.failures.extend([failure] * 9)
    outcomes = await _index(gateway, rows[:2])
    assert [outcome.outcome for outcome in outcomes] == ["indexed", "indexed"]
    assert len({request.request_id for request in gateway.upserts}) == 1


async def test_patience_ends(gateway: FakeGateway, rows: list[CatalogRow | RowProblem]) -> None:
    """What stays away longer than the policy's patience ends the run with its error."""
    gateway.catalogs["shop"] = {}
    gateway.failures.extend([ResourceExhausted("full", retry_after_s=0.0)] * 10_000)
    with pytest.raises(ResourceExhausted, match="full"):
        await _index(gateway, rows, Policy(patience_s=0.1, first_backoff_s=0.01))


async def test_the_photos_of_one_call_stay_below_the_message_limit(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A batch of large photos is sent in several calls, and a product that is too large alone fails alone."""
    monkeypatch.setattr(indexing, "MAX_BATCH_BYTES", 150)
    outcomes = await _index(gateway, [*rows, _row(tmp_path, 9, b"x" * 200)], Policy())
    assert [outcome.outcome for outcome in outcomes] == ["indexed"] * 5 + ["failed"]
    assert len(gateway.upserts) > 1
    assert all(request.ByteSize() < 300 for request in gateway.upserts)


async def test_no_batch_has_more_photos_than_the_policy_says(gateway: FakeGateway, tmp_path: Path) -> None:
    """Products with many photos make smaller batches, since photos are what costs."""
    rows = [_row(tmp_path, number, b"a", b"b", b"c") for number in range(4)]
    await _index(gateway, rows, Policy(batch_products=16, batch_photos=6))
    assert [len(request.products) for request in gateway.upserts] == [2, 2]


async def test_an_error_of_one_batch_leaves_the_others(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem]
) -> None:
    """When the server stumbles over a batch its rows fail and the run goes on."""
    gateway.catalogs["shop"] = {}
    async with AsyncClient(gateway.address, catalog="shop") as client:
        gateway.failures.append(VitrineError("internal error"))
        found = [outcomes async for outcomes in indexing.index(client, rows[:4], QUICK)]
    assert sorted(outcome.outcome for outcomes in found for outcome in outcomes) == [
        *["failed"] * 2,
        *["indexed"] * 2,
    ]


async def test_what_no_retry_mends_ends_the_run(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem]
) -> None:
    """Another model than the catalogue's, or a catalogue that vanished, is told at once."""
    gateway.catalogs["shop"] = {}
    async with AsyncClient(gateway.address, catalog="shop") as client:
        for failure in (FailedPrecondition("other models"), NotFound("gone")):
            gateway.failures.append(failure)
            with pytest.raises(type(failure)):
                _ = [outcomes async for outcomes in indexing.index(client, rows[:1], QUICK)]


async def test_a_missing_catalogue_is_created_once(gateway: FakeGateway) -> None:
    """`ensure_catalog` says whether it created one, and a bad id is refused."""
    async with AsyncClient(gateway.address, catalog="shop") as client:
        assert await indexing.ensure_catalog(client, QUICK)
        assert not await indexing.ensure_catalog(client, QUICK)
    async with AsyncClient(gateway.address, catalog="Shop!") as client:
        with pytest.raises(InvalidArgument):
            await indexing.ensure_catalog(client, QUICK)


async def test_a_gateway_that_never_answered_is_not_waited_for() -> None:
    """Where nothing listens the run ends at once, whatever its patience."""
    async with AsyncClient("127.0.0.1:9", catalog="shop") as client:
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(Unavailable, match="nothing answers"):
                await indexing.ensure_catalog(client, Policy(patience_s=600))


async def test_a_gateway_that_answers_but_is_not_ready_is_waited_for(gateway: FakeGateway) -> None:
    """One that says itself that it cannot work yet is there, so the policy's patience holds."""
    gateway.catalogs["shop"] = {}
    gateway.failures.extend([Unavailable("starting", retry_after_s=0.0)] * 9)
    async with AsyncClient(gateway.address, catalog="shop") as client:
        assert not await indexing.ensure_catalog(client, QUICK)


async def test_a_gateway_that_is_lost_midway_is_waited_for(
    rows: list[CatalogRow | RowProblem],
) -> None:
    """Gone after it had answered, it is told of once and has until the end of patience to come back."""
    gateway = FakeGateway()
    outages: list[VitrineError] = []

    async def write() -> list[RowOutcome]:
        written = indexing.index(client, rows, QUICK, on_outage=outages.append)
        return [outcome async for outcomes in written for outcome in outcomes]

    with reserved() as port:
        with gateway.serving(port):
            gateway.catalogs["shop"] = {}
            client = AsyncClient(gateway.address, catalog="shop")
            await indexing.ensure_catalog(client, QUICK)
        async with client, asyncio.timeout(TIMEOUT_S):
            writing = asyncio.create_task(write())
            while not outages:  # noqa: ASYNC110 - it is told when it has been noticed
                await asyncio.sleep(0.01)
            with gateway.serving(port):
                assert {outcome.outcome for outcome in await writing} == {"indexed"}
    assert [error.reason for error in outages] == ["NO_ANSWER"]


async def test_what_the_gateway_has_is_not_sent_again(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint a second run sends only what has changed, here or there, and tells of the rest."""
    monkeypatch.setattr(indexing, "_UNCHANGED_ROWS_A_LOT", 2)
    with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
        await _index(gateway, rows, checkpoint=checkpoint)
    gateway.upserts.clear()
    with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
        outcomes = await _index(gateway, rows, checkpoint=checkpoint)
    assert [outcome.outcome for outcome in outcomes] == ["unchanged"] * 5
    assert not gateway.upserts

    del gateway.catalogs["shop"]["catalogs/shop/products/a1"]
    gateway.catalogs["shop"]["catalogs/shop/products/a2"].etag = "changed"
    assert isinstance(rows[3], CatalogRow)
    rows[3].photos[0].write_bytes(b"another")
    with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
        await _index(gateway, rows, checkpoint=checkpoint)
    sent = {item.product.name for request in gateway.upserts for item in request.products}
    assert sent == {f"catalogs/shop/products/a{number}" for number in (1, 2, 3)}


async def test_a_catalogue_that_was_made_anew_is_filled_again(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem], tmp_path: Path
) -> None:
    """Whatever was noted of the former one."""
    for _ in range(2):
        gateway.catalogs.clear()
        with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
            outcomes = await _index(gateway, rows, checkpoint=checkpoint)
        assert [outcome.outcome for outcome in outcomes] == ["indexed"] * 5


async def test_a_product_with_a_problem_is_sent_again(
    gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo that could not be read may be another one next time, under the same name."""
    rows = [_row(tmp_path, 1, b"jpeg", BAD_PHOTO)]
    for _ in range(2):
        with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
            (outcome,) = await _index(gateway, rows, checkpoint=checkpoint)
        assert "is not a picture" in outcome.message
    assert len(gateway.upserts) == 2


async def test_photos_on_the_web_are_left_to_the_gateway(gateway: FakeGateway, tmp_path: Path) -> None:
    """Files are sent as they are, addresses as addresses, files first."""
    row = _row(tmp_path, 1)
    row.addresses.append("https://shop.example/b.jpg")
    (outcome,) = await _index(gateway, [row])
    assert outcome.photos == 2
    photos = gateway.upserts[0].products[0].product.photos
    assert [photo.image.uri for photo in photos] == ["", "https://shop.example/b.jpg"]


async def test_busy_hosts_are_asked_again_later(busy: BusyGateway) -> None:
    """A photo whose host is busy is asked for until it is there; others do not wait for it."""
    slow, slower = "https://slow.example/1.jpg", "https://slow.example/2.jpg"
    busy.busy = {slow: 2, slower: 3}
    told: list[tuple[str, str]] = []
    rows = [
        _linked(1, slow),
        _linked(2, "https://quick.example/1.jpg", slower),
        *(_linked(number, f"https://quick.example/{number}.jpg") for number in range(3, 9)),
    ]
    outcomes = await _index(busy, rows, on_busy=lambda host, error: told.append((host, error.reason)))
    assert [(outcome.outcome, outcome.message) for outcome in outcomes] == [("indexed", "")] * 8
    assert [outcome.photos for outcome in outcomes[:2]] == [1, 2]
    assert (busy.asked.count(slow), busy.asked.count(slower)) == (3, 4)
    assert busy.asked.count("https://quick.example/8.jpg") == 1
    assert told == [("slow.example", "URI_UNAVAILABLE")]


async def test_a_host_that_stays_away_is_given_up(busy: BusyGateway) -> None:
    """After patience its rows have their outcome: failed, or written without that photo."""
    gone = "https://gone.example/1.jpg"
    busy.busy = {gone: 1 << 30}
    rows = [
        _linked(1, gone),
        _linked(2, "https://quick.example/1.jpg", gone),
        _linked(3, "https://q.example/"),
    ]
    outcomes = await _index(busy, rows, replace(QUICK, patience_s=0.2))
    assert [outcome.outcome for outcome in outcomes] == ["failed", "indexed", "indexed"]
    assert [bool(outcome.message) for outcome in outcomes] == [True, True, False]
    assert gone in outcomes[1].message


async def test_the_last_row_of_a_product_stays(gateway: FakeGateway, tmp_path: Path) -> None:
    """It is written after the others, however long these take."""
    gateway.refused_once = {"old"}
    rows = [_row(tmp_path, 1), _row(tmp_path, 2), _row(tmp_path, 1), _row(tmp_path, 1), _row(tmp_path, 3)]
    titles = ["old", "other", "newer", "new", "other"]
    written = [
        replace(row, title=title, row_number=number)
        for number, (row, title) in enumerate(zip(rows, titles, strict=True))
    ]
    for _ in range(2):
        with Checkpoint(tmp_path / "checkpoint.db") as checkpoint:
            outcomes = await _index(gateway, written, replace(QUICK, max_backoff_s=1), checkpoint=checkpoint)
        assert {outcome.outcome for outcome in outcomes} <= {"indexed", "unchanged"}
        assert [outcome.row for outcome in outcomes] == [0, 1, 2, 3, 4]
        assert gateway.catalogs["shop"]["catalogs/shop/products/a1"].title == "new"
    assert not gateway.refused_once


async def test_a_row_that_waits_gives_way_to_a_later_one(busy: BusyGateway) -> None:
    """Of a row that waits for its host the last outcome holds, and it is not written over the later one."""
    slow = "https://slow.example/1.jpg"
    busy.busy = {slow: 3}
    old = _linked(1, slow)
    new = replace(_linked(1, "https://quick.example/1.jpg"), title="new", row_number=4)
    outcomes = await _index(busy, [old, new, _linked(5, slow)], replace(QUICK, batch_products=1))
    assert [(outcome.row, outcome.outcome) for outcome in outcomes] == [
        *((3, "failed"), (4, "indexed"), (7, "indexed"))
    ]
    assert busy.catalogs["shop"]["catalogs/shop/products/a1"].title == "new"


async def test_late_rows_hold_back_further_ones(busy: BusyGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too many wait for their hosts, no more are read: a catalogue of a dead host fits into memory."""
    monkeypatch.setattr(indexing, "MAX_LATE_ROWS", 4)
    most = 0
    read = 0

    def rows() -> Iterator[CatalogRow]:
        nonlocal read, most
        for number in range(16):
            address = f"https://slow.example/{number}.jpg"
            busy.busy[address] = 1
            read += 1
            most = max(most, read - len(busy.catalogs["shop"]))
            yield _linked(number, address)

    outcomes = await _index(busy, rows())
    assert [outcome.outcome for outcome in outcomes] == ["indexed"] * 16
    # Four late ones, three batches of two under way, and two that are being read.
    assert most <= 4 + 3 * 2 + 2


@pytest.mark.parametrize("failure", [Unavailable("later", retry_after_s=0.0), DeadlineExceeded("too late")])
async def test_a_product_that_was_unlucky_is_written_again(
    gateway: FakeGateway, rows: list[CatalogRow | RowProblem], failure: VitrineError
) -> None:
    """A product that the gateway could not take for now, for no fault of its own, is given again."""
    upsert, unlucky = gateway._upsert, ["a1", "a1", "a3"]

    def sometimes(products: Any, product: Any) -> catalog_pb2.UpsertResult:
        product_id = product.name.rpartition("/")[2]
        if product_id in unlucky:
            unlucky.remove(product_id)
            return catalog_pb2.UpsertResult(product=product.name, status=status.to_item(failure))
        return upsert(products, product)

    gateway._upsert = sometimes  # type: ignore[method-assign] # this one gateway is moody
    outcomes = await _index(gateway, rows)
    assert [outcome.outcome for outcome in outcomes] == ["indexed"] * 5


async def test_near_duplicates_are_told(gateway: FakeGateway, rows: list[CatalogRow | RowProblem]) -> None:
    """The outcome of a row names the products that look like it."""

    def upsert(products: Any, product: Any) -> catalog_pb2.UpsertResult:
        result = FakeGateway._upsert(gateway, products, product)
        if product.name.endswith("a1"):
            result.near_duplicates.add(product="catalogs/shop/products/a0", cosine=1.0)
        return result

    gateway._upsert = upsert  # type: ignore[method-assign] # this one gateway finds one
    outcomes = await _index(gateway, rows)
    assert [outcome.near_duplicates for outcome in outcomes] == [(), ("a0",), (), (), ()]
