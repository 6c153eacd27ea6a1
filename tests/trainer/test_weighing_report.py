from __future__ import annotations

import ast
import io

import pytest
from rich.console import Console

from services.mesh import profiles
from services.trainer import weighing_report
from services.trainer.evaluation.bootstrap import Figure
from services.trainer.evaluation.ranking import Profile
from services.trainer.weighing import Choices, Comparison, Weighing

WEIGHING = Weighing(
    Choices("similar", ("gender", "category")),
    ("resnet50", "clip", "triplet"),
    queries=9,
    answers=40,
    terms=("visual.resnet50", "visual.clip", "visual.triplet", "semantic.gender"),
    hand_set=Profile(
        "similar", {"visual.resnet50": 0.25, "visual.clip": 0.5, "visual.triplet": 0.25, "known.gender": 1.0}
    ),
    fitted=Profile(
        "similar",
        {"visual.clip": 0.625, "visual.triplet": 0.375, "semantic.gender": 1.23456, "known.gender": 1.0},
    ),
    halves=(
        Profile("similar", {"visual.clip": 1.0, "semantic.gender": 2.0}),
        Profile("similar", {"visual.triplet": 1.0}),
    ),
    figures={
        "gender_at_10": Comparison(
            Figure(0.75, 0.7, 0.8, 9), Figure(0.5, 0.4, 0.6, 9), Figure(-0.25, -0.3, -0.24, 9)
        )
    },
    warnings=("mind this",),
)


def test_literals_are_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put where they belong they make the fitted profile, a space without weight included."""
    for name, entry in weighing_report.literals(WEIGHING).items():
        monkeypatch.setattr(profiles, name, getattr(profiles, name) | ast.literal_eval(f"{{{entry}}}"))
    made = profiles.profiles(WEIGHING.spaces)["similar"]
    assert made == pytest.approx(WEIGHING.fitted.weights, abs=5e-4)


def test_the_document_has_every_weight_and_figure() -> None:
    """A weight that fell to 0 is there as 0."""
    found = weighing_report.document(WEIGHING)
    assert found["weights"].keys() == set(WEIGHING.terms)
    assert found["weights"]["semantic.gender"] == {"hand_set": 0.0, "fitted": 1.235, "halves": [2.0, 0.0]}
    assert found["figures"]["gender_at_10"]["difference"] == {
        "value": -0.25,
        "low": -0.3,
        "high": -0.24,
        "n": 9,
    }
    assert (found["queries"], found["answers"], found["warnings"]) == (9, 40, ["mind this"])


def test_the_table_fits_a_terminal() -> None:
    """In eighty columns nothing is cut; a figure has the wider half of its interval."""
    file = io.StringIO()
    Console(file=file, width=80).print(weighing_report.table(WEIGHING))
    lines = file.getvalue().splitlines()
    assert "…" not in file.getvalue()
    assert lines[1].split("  ")[0] == "gender @10"
    assert ".750 ±.050" in lines[1]
    assert "-.250 ±.050" in lines[1]
    assert lines[-1].split() == ["semantic.gender", ".000", "1.235", "+1.235", "2.000", ".000"]
