from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from services.mesh.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine.catalogs.folder import CatalogRow, RowProblem
from vitrine.client import AsyncClient, indexing, products
from vitrine.client.indexing import Policy, RowOutcome

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
    gateway: FakeGateway, rows: Iterable[CatalogRow | RowProblem], policy: Policy = QUICK
) -> list[RowOutcome]:
    async with AsyncClient(gateway.address, catalog="shop") as client:
        await indexing.ensure_catalog(client, policy)
        found = [outcome async for outcomes in indexing.index(client, rows, policy) for outcome in outcomes]
    return sorted(found, key=lambda outcome: outcome.row)


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
        async with asyncio.timeout(10):
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
    with gateway.serving():
        gateway.catalogs["shop"] = {}
        port = int(gateway.address.rpartition(":")[2])
        client = AsyncClient(gateway.address, catalog="shop")
        await indexing.ensure_catalog(client, QUICK)

    async def write() -> list[RowOutcome]:
        written = indexing.index(client, rows, QUICK, on_outage=outages.append)
        return [outcome async for outcomes in written for outcome in outcomes]

    async with client, asyncio.timeout(30):
        writing = asyncio.create_task(write())
        while not outages:  # noqa: ASYNC110 - it is told when it has been noticed
            await asyncio.sleep(0.01)
        with gateway.serving(port):
            assert {outcome.outcome for outcome in await writing} == {"indexed"}
    assert [error.reason for error in outages] == ["NO_ANSWER"]
