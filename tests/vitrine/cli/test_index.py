from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.vitrine.fake_gateway import BAD_PHOTO, FakeGateway
from vitrine.cli import index
from vitrine.cli.main import app


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


def test_a_server_that_never_answered_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody there the command fails soon, as every other does."""
    monkeypatch.setattr(index, "_FIRST_PATIENCE_S", 0.1)
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
