from __future__ import annotations

import pytest

from services.embedder.weights import Step
from vitrine.cli import progress


def test_a_line_tells_each_thing_that_is_begun(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal the same words are not said twice, however far the part has come."""
    with progress.steps() as show:
        for doing, share in (("fetching", 0.1), ("fetching", 0.6), ("unpacking", 0.8)):
            show(Step("clip", doing, share))
    assert capsys.readouterr().err.splitlines() == ["clip: fetching", "clip: unpacking"]


def test_a_stage_tells_now_and_then_and_when_it_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every thing has a line, the last one has."""
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 1e9)
    with progress.stages() as begin:
        advance = begin("photos", 3)
        for _ in range(3):
            advance(1)
    assert capsys.readouterr().err.splitlines() == ["photos: 3 of 3"]
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 0.0)
    with progress.stages() as begin:
        begin("titles", 1_000)(1)
    assert capsys.readouterr().err.splitlines() == ["titles: 1 of 1,000"]
