from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.mesh.errors import InvalidArgument
from services.trainer.evaluation import document, hits
from services.trainer.evaluation.measurement import Evaluation


@pytest.fixture(scope="module")
def dumped(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("hits") / "hits.jsonl"
    hits.dump(evaluation, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def figures(document_: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((f"spaces.{name}", entry) for name, entry in document_["spaces"].items())
    yield from ((f"profiles.{name}", entry) for name, entry in document_["profiles"].items())
    for name, entry in document_["masked"]["profiles"].items():
        yield f"masked.profiles.{name}", entry


def test_figures_can_be_worked_out_from_the_dump_and_the_table(
    evaluation: Evaluation, dumped: list[dict[str, Any]], drawn_catalog: Path
) -> None:
    """With nothing but the file and the shop's own table, by plain loops."""
    with (drawn_catalog / "products.csv").open() as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    for ranking, printed in figures(document.of(evaluation)):
        photos = [line for line in dumped if line["ranking"] == ranking and line["kind"] == "photo"]
        assert len(photos) == 64

        def same(line: dict[str, Any], hit: str, *columns: str) -> bool:
            return all(table[line["query"]][column] == table[hit][column] for column in columns)

        for name, columns in {
            "gender_at_10": ["gender"],
            "category_at_10": ["subCategory"],
            "gender_and_category_at_10": ["gender", "subCategory"],
            "precision_at_10_type": ["articleType"],
            "colour_at_10": ["baseColour"],
        }.items():
            shares = [sum(same(line, hit, *columns) for hit in line["hits"][:10]) / 10 for line in photos]
            assert printed[name]["value"] == pytest.approx(np.mean(shares), abs=1e-6)
            assert printed[name]["n"] == 64
        for k in (1, 5):
            found = [any(same(line, hit, "subCategory") for hit in line["hits"][:k]) for line in photos]
            assert printed[f"recall_at_{k}_category"]["value"] == pytest.approx(np.mean(found), abs=1e-6)
        texts = [line for line in dumped if line["ranking"] == ranking and line["kind"] == "text"]
        ranks = [
            line["hits"].index(line["query"]) + 1 if line["query"] in line["hits"] else np.inf
            for line in texts
        ]
        of_texts = printed["text_to_image"]
        assert of_texts["recall_at_1"]["value"] == pytest.approx(
            np.mean([rank <= 1 for rank in ranks]), abs=1e-6
        )
        assert of_texts["recall_at_10"]["value"] == pytest.approx(
            np.mean([rank <= 10 for rank in ranks]), abs=1e-6
        )
        assert of_texts["mrr"]["value"] == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=1e-6)


def test_the_dump_is_as_deep_as_map_at_r_looks(
    evaluation: Evaluation, drawn_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few hits are written otherwise, there are as many as products of the query's type."""
    monkeypatch.setattr(hits, "FIRST", 1)
    hits.dump(evaluation, tmp_path / "hits.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    with (drawn_catalog / "products.csv").open() as file:
        types = {row["id"]: row["articleType"] for row in csv.DictReader(file)}
    for ranking, printed in figures(document.of(evaluation)):
        precisions = []
        for line in (each for each in lines if each["ranking"] == ranking and each["kind"] == "photo"):
            wanted = types[line["query"]]
            relevant = sum(
                kind == wanted for product, kind in types.items() if product not in line["excluded"]
            )
            right = [types[hit] == wanted for hit in line["hits"][:relevant]]
            found = [sum(right[: place + 1]) / (place + 1) for place in range(len(right)) if right[place]]
            precisions.append(sum(found) / relevant)
        assert printed["map_at_r"]["value"] == pytest.approx(np.mean(precisions), abs=1e-6)


def test_what_was_left_out_is_told(dumped: list[dict[str, Any]]) -> None:
    """A photo leaves its own product out, a title does not, and no hit is among what was left out."""
    for line in dumped:
        assert (line["query"] in line["excluded"]) == (line["kind"] == "photo")
        assert not set(line["hits"]) & set(line["excluded"])
        assert len(line["hits"]) <= 100


def test_a_file_that_cannot_be_written_is_told(evaluation: Evaluation, tmp_path: Path) -> None:
    """As a mistake in what was asked for."""
    with pytest.raises(InvalidArgument) as caught:
        hits.dump(evaluation, tmp_path / "nowhere" / "hits.jsonl")
    assert caught.value.field == "dump_hits"
