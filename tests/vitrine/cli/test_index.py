from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.mesh.errors import ResourceExhausted, Unavailable
from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine.cli import index
from vitrine.cli.main import app
from vitrine.client import indexing
from vitrine.client.indexing import Policy


@pytest.fixture
def folder(drawn_catalog: Path, tmp_path: Path) -> Path:
    """A drawn catalogue of which one photo is broken and one is missing."""
    copy = shutil.copytree(drawn_catalog, tmp_path / "catalog")
    broken, missing = sorted((copy / "images").iterdir())[2:4]
    broken.write_bytes(BAD_PHOTO)
    missing.unlink()
    return copy


def _index(gateway: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["index", *arguments, "--server", gateway.address])


def test_a_whole_catalogue_ends_with_0(gateway: FakeGateway, drawn_catalog: Path) -> None:
    """Every product is indexed, into a catalogue that is created for it; a second run finds all unchanged."""
    result = _index(gateway, str(drawn_catalog), "--catalog", "drawn", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["indexed"] == summary["products"] == len(gateway.catalogs["drawn"]) > 0
    assert (summary["failed"], summary["unchanged"]) == (0, 0)
    assert summary["photos_per_s"] > 0
    again = json.loads(_index(gateway, str(drawn_catalog), "--catalog", "drawn", "--json").stdout)
    assert (again["indexed"], again["unchanged"]) == (0, summary["products"])


def test_columns_are_told(gateway: FakeGateway, folder: Path) -> None:
    """What each column was taken for is printed, and can be chosen."""
    (folder / "products.csv").write_text("id,Sex,Cost,Fit\np000,Men,9,Slim\n")
    result = _index(gateway, str(folder), "--map", "usage=Fit")
    assert "usage from Fit, id, gender from Sex, price from Cost" in result.stderr
    assert _index(gateway, str(folder), "--map", "usage").exit_code == 2


def test_a_server_that_never_answered_is_not_waited_for(folder: Path) -> None:
    """Without anybody there the command fails at once, as every other does."""
    result = CliRunner().invoke(app, ["index", str(folder), "--server", "127.0.0.1:9"])
    assert result.exit_code == 1
    assert "is `vitrine up` running?" in result.stderr


def test_rows_that_failed_end_with_3_and_are_told(gateway: FakeGateway, folder: Path, tmp_path: Path) -> None:
    """A broken and a missing photo are reported row by row, and the others are indexed."""
    report = tmp_path / "report.csv"
    result = _index(gateway, str(folder), "--report", str(report), "--json")
    assert result.exit_code == 3, result.output
    summary = json.loads(result.stdout)
    assert summary["failed"] == len(summary["problems"]) == 2
    assert summary["indexed"] == summary["products"] - 2 == len(gateway.catalogs["default"])
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["products"]
    assert [row["outcome"] for row in rows].count("failed") == 2
    assert all(row["message"] for row in rows if row["outcome"] == "failed")


def test_people_see_the_first_problems(
    gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --json the problems are listed up to a limit, then a line sums up."""
    monkeypatch.setattr(index, "_SHOWN_PROBLEMS", 1)
    monkeypatch.setattr(index, "_PLAIN_LINE_EVERY_S", 0.0)
    result = _index(gateway, str(folder))
    assert result.exit_code == 3
    assert "created catalogue default" in result.stderr
    assert "--report" in result.stderr
    assert " of 64; " in result.stderr
    assert "2 failed" in result.stdout


def test_a_report_that_cannot_be_written_is_told_before_anything_is_sent(
    gateway: FakeGateway, drawn_catalog: Path, tmp_path: Path
) -> None:
    """An index run of an hour does not end in a report that was never possible."""
    result = _index(gateway, str(drawn_catalog), "--report", str(tmp_path / "no" / "report.csv"))
    assert result.exit_code == 2
    assert not gateway.upserts


def test_an_outage_is_told_and_waited_for(
    gateway: FakeGateway, drawn_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is away for longer than the channel bridges by itself is said in a line, and then it goes on."""
    monkeypatch.setattr(indexing, "Policy", lambda: Policy(first_backoff_s=0.001, max_backoff_s=0.01))
    gateway.catalogs["default"] = {}
    gateway.failures.append(ResourceExhausted("a full queue is no outage", retry_after_s=0.0))
    gateway.failures.extend([Unavailable("the embedder is away", retry_after_s=0.0)] * 9)
    result = _index(gateway, str(drawn_catalog))
    assert result.exit_code == 0, result.output
    assert result.stderr.count("the embedder is away, trying again for up to 180 s") == 1
    assert "full queue" not in result.stderr


def test_an_interrupted_run_says_how_to_go_on(
    gateway: FakeGateway, drawn_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends with what shells expect of it, and without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "run", interrupted)
    result = _index(gateway, str(drawn_catalog))
    assert result.exit_code == 130
    assert "interrupted; run the same command again to go on" in result.stderr


def test_a_choice_that_fits_nothing_names_field_and_column(gateway: FakeGateway, drawn_catalog: Path) -> None:
    """Both sides of a wrong `--map` are in the message, and nothing is sent."""
    for choice in ("price=Preis", "costs=price"):
        result = _index(gateway, str(drawn_catalog), "--map", choice)
        assert result.exit_code == 2
        assert f"error: --map: {choice}: there is no" in result.stderr
    assert not gateway.upserts


def test_a_table_of_links_is_indexed(gateway: FakeGateway, tmp_path: Path) -> None:
    """JSON Lines alone, with photos on the web in several columns, under the other name of the command."""
    table = tmp_path / "export.jsonl"
    addresses = {"vorne": "https://shop.example/1.jpg", "hinten": "https://shop.example/2.jpg"}
    table.write_text(json.dumps({"sku": "a", **addresses}))
    choices = ("--map", "image=vorne", "--map", "image=hinten")
    result = CliRunner().invoke(app, ["import", str(table), *choices, "--server", gateway.address])
    assert result.exit_code == 0, result.output
    assert "image from vorne, image_2 from hinten, id from sku" in result.stderr
    (item,) = gateway.upserts[0].products
    assert [photo.image.uri[-5:] for photo in item.product.photos] == ["1.jpg", "2.jpg"]


def test_what_was_written_is_not_sent_again(gateway: FakeGateway, drawn_catalog: Path) -> None:
    """The second run sends nothing, the first into another catalogue all."""
    assert _index(gateway, str(drawn_catalog)).exit_code == 0
    calls = len(gateway.upserts)
    assert "0 indexed" in _index(gateway, str(drawn_catalog)).stdout
    assert len(gateway.upserts) == calls
    assert _index(gateway, str(drawn_catalog), "--catalog", "other").exit_code == 0
    assert len(gateway.upserts) == 2 * calls


def test_the_report_names_near_duplicates(
    gateway: FakeGateway, drawn_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, and their number in the summary."""
    upsert = FakeGateway._upsert

    def alike(self: FakeGateway, products: Any, product: Any) -> Any:
        result = upsert(self, products, product)
        result.near_duplicates.add(product="catalogs/default/products/other", cosine=0.99)
        return result

    monkeypatch.setattr(FakeGateway, "_upsert", alike)
    report = tmp_path / "report.csv"
    summary = json.loads(_index(gateway, str(drawn_catalog), "--report", str(report), "--json").stdout)
    assert summary["near_duplicates"] == summary["products"]
    with report.open(newline="") as file:
        assert {row["near_duplicates"] for row in csv.DictReader(file)} == {"other"}
