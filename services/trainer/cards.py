"""The model card beside the shipped heads: what they were trained on, how, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.trainer.heads import Recipe

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about one training run. `figures` is measured set -> figure -> value."""

    title: str
    digests: Mapping[str, str]
    trunk: str
    photos: Mapping[str, int]
    held_out: str
    shipped: str
    recipes: Mapping[str, Recipe]
    figures: Figures


def write(card: Card, directory: Path) -> None:
    """Writes `model_card.json` for programs and `model_card.md` for people."""
    (directory / "model_card.json").write_text(json.dumps(asdict(card), indent=2) + "\n")
    (directory / "model_card.md").write_text(_markdown(card))


def _markdown(card: Card) -> str:
    lines = [f"# {card.title}", "", "| file | sha256 |", "|---|---|"]
    lines += [f"| {file} | `{digest}` |" for file, digest in card.digests.items()]
    lines += ["", f"Trained on features of the ResNet50 trunk `{card.trunk[:12]}`, which stays frozen.", ""]
    lines += ["## Data", "", "| catalogue | photos |", "|---|---|"]
    lines += [f"| {catalogue} | {count:,} |" for catalogue, count in card.photos.items()]
    lines += ["", card.held_out, card.shipped, "", "## Recipe", ""]
    lines += [f"- {name}: {_said(recipe)}" for name, recipe in card.recipes.items()]
    for measured, figures in card.figures.items():
        lines += ["", f"## {measured}", "", "| figure | value |", "|---|---|"]
        lines += [f"| {figure} | {value:.3f} |" for figure, value in figures.items()]
    return "\n".join(lines) + "\n"


def _said(recipe: Recipe) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(recipe).items())
