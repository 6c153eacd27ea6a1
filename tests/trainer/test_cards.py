from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from services.mesh.registries import sha256
from services.trainer import cards
from services.trainer.cards import Entry
from services.trainer.recipes import TRIPLET


def entry(directory: Path, file: str) -> Entry:
    (directory / file).write_text(file)
    return Entry(
        file=file,
        sha256=sha256(directory / file),
        models={"trunk": "beef" * 16},
        photos={"shop": 1234},
        split={"train": 1234, "validation": 99},
        held_out="7 products were held out.",
        recipes={"triplet": TRIPLET},
        figures={"mixed": {"R@1": 0.39812, "photos": 99.0}},
        best_epochs={"triplet": 4},
        warnings=("overfitting",),
        curves=("head.curves.png",),
        duration_s=61.7,
        machine="2 cores",
    )


def test_a_card_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    """Digests, data, split, recipe, figures, duration and machine are in both files."""
    cards.write(entry(tmp_path, "head.safetensors"), tmp_path)
    found = json.loads((tmp_path / "model_card.json").read_text())["files"]["head.safetensors"]
    assert found["figures"]["mixed"]["R@1"] == 0.39812
    assert found["recipes"]["triplet"]["schedule"]["epochs"] == TRIPLET.schedule.epochs
    text = (tmp_path / "model_card.md").read_text()
    for part in (
        f"| head.safetensors | `{sha256(tmp_path / 'head.safetensors')}` |",
        "| shop | 1,234 |",
        "1,234 train, 99 validation",
        "7 products were held out.",
        "| R@1 | 0.398 |",
        "| photos | 99 |",
        "`beefbeefbeef`",
        f"epochs {TRIPLET.schedule.epochs}",
        "Best epoch: triplet 4. 62 s on 2 cores.",
        "**overfitting**",
    ):
        assert part in text


def test_entries_of_other_files_stay_while_they_are_true(tmp_path: Path) -> None:
    """Training one head keeps what is said of another, unless that file is another one by now."""
    for name in ("a.safetensors", "b.safetensors", "c.safetensors"):
        cards.write(entry(tmp_path, name), tmp_path)
    (tmp_path / "b.safetensors").write_text("other")
    cards.write(replace(entry(tmp_path, "c.safetensors"), duration_s=1.0), tmp_path)
    found = json.loads((tmp_path / "model_card.json").read_text())["files"]
    assert list(found) == ["a.safetensors", "c.safetensors"]
    assert found["c.safetensors"]["duration_s"] == 1
    assert "b.safetensors" not in (tmp_path / "model_card.md").read_text()


def test_the_machine_is_told() -> None:
    """Durations mean something beside the machine that they were measured on."""
    assert "cores" in cards.machine(torch.device("cpu"))
