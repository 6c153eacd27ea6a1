from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vitrine.catalogs.rows import CatalogRow
from vitrine.client.checkpoints import Checkpoint, digest


@pytest.fixture
def row(tmp_path: Path) -> CatalogRow:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"jpeg")
    return CatalogRow("a", "Shirt", "Warm", {"price": [9.5]}, [photo], 2, ["https://shop.example/b.jpg"])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "deep" / "checkpoint.db") as made:
        yield made


def test_a_row_is_written_when_the_gateway_says_so(checkpoint: Checkpoint, row: CatalogRow) -> None:
    """What was recorded counts only once the gateway has the product with that etag."""
    checkpoint.record([(row, "e1")])
    assert not checkpoint.has(row)
    checkpoint.confirm([("a", "e2"), ("b", "e1"), ("a", "")])
    assert not checkpoint.has(row)
    checkpoint.confirm([("a", "e1")])
    assert checkpoint.has(row)


def test_a_later_row_of_a_product_that_is_written_is_written_too(
    checkpoint: Checkpoint, row: CatalogRow
) -> None:
    """Else the version before it would stay."""
    checkpoint.record([(row, "e1")])
    checkpoint.confirm([("a", "e1")])
    assert not checkpoint.has(replace(row, title="older"))
    assert not checkpoint.has(row)


def test_another_process_finds_it(tmp_path: Path, row: CatalogRow) -> None:
    """The file outlives whoever wrote it; several may write it."""
    path = tmp_path / "checkpoint.db"
    with Checkpoint(path) as first, Checkpoint(path) as second:
        first.record([(row, "e1")])
        second.record([(replace(row, product_id="b"), "e2")])
    with Checkpoint(path) as later:
        later.confirm([("a", "e1"), ("b", "e2")])
        assert later.has(row)
        assert later.has(replace(row, product_id="b"))


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Shirts"},
        {"description": ""},
        {"attributes": {"price": [9.6]}},
        {"attributes": {}},
        {"photos": []},
        {"addresses": []},
        {"addresses": ["https://shop.example/c.jpg"]},
    ],
)
def test_any_change_of_a_row_is_seen(
    checkpoint: Checkpoint, row: CatalogRow, change: dict[str, object]
) -> None:
    """Whatever differs, the row has to be sent; where it stands in the table does not matter."""
    checkpoint.record([(row, "e1")])
    checkpoint.confirm([("a", "e1")])
    assert checkpoint.has(replace(row, row_number=7))
    assert not checkpoint.has(replace(row, **change))  # type: ignore[arg-type] # fields by name


def test_a_photo_that_was_written_again_is_seen(row: CatalogRow) -> None:
    """A file of another time or size makes another row; one that is gone makes none."""
    before = digest(row)
    os.utime(row.photos[0], ns=(1, 1))
    touched = digest(row)
    row.photos[0].write_bytes(b"longer")
    os.utime(row.photos[0], ns=(1, 1))
    assert len({before, touched, digest(row)}) == 3
    row.photos[0].unlink()
    assert digest(row) is None


def test_what_has_no_etag_or_no_files_is_not_recorded(checkpoint: Checkpoint, row: CatalogRow) -> None:
    """Such a row can never be known to be there."""
    checkpoint.record([(row, "")])
    row.photos[0].unlink()
    checkpoint.record([(row, "e1")])
    assert checkpoint.is_empty


def test_a_damaged_file_is_begun_anew(tmp_path: Path, row: CatalogRow) -> None:
    """It costs time only."""
    path = tmp_path / "checkpoint.db"
    path.write_bytes(b"this is no database" * 100)
    with Checkpoint(path) as made:
        made.record([(row, "e1")])
        made.confirm([("a", "e1")])
        assert made.has(row)
