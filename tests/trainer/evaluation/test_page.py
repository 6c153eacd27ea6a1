from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.mesh.errors import InvalidArgument
from services.trainer.evaluation import document, page
from services.trainer.evaluation.measurement import Evaluation


@pytest.fixture(scope="module")
def html(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    page.write(evaluation, document.of(evaluation), "<drawn> & co", path)
    return path.read_text(encoding="utf-8")


def test_a_page_needs_nothing_else(html: str) -> None:
    """Pictures are in it, and it asks for nothing."""
    assert html.lstrip().startswith("<!doctype html>")
    assert html.count("data:image/webp;base64,") > 20
    assert re.findall(r'(?:src|href)="(?!data:)|url[(]|@import|<script', html) == []


def test_it_says_what_was_measured(html: str) -> None:
    """Figures of all rankings, slices, who is found for whom, drops, cost, failures and some queries."""
    for words in ("gender, category @10", "similar, masked", "by slice", "Whose things are found for whom"):
        assert words in html
    for words in ("Drops", "Cost", "The worst failures", "Queries by chance", "visual.colour"):
        assert words in html
    assert "no claim of quality" in html


def test_names_are_no_markup(html: str) -> None:
    """What a shop calls itself is text."""
    assert "&lt;drawn&gt; &amp; co" in html
    assert "<drawn>" not in html


def test_a_page_that_cannot_be_written_is_told(evaluation: Evaluation, tmp_path: Path) -> None:
    """As a mistake in what was asked for."""
    with pytest.raises(InvalidArgument) as caught:
        page.write(evaluation, document.of(evaluation), "shop", tmp_path / "nowhere" / "report.html")
    assert caught.value.field == "report"
