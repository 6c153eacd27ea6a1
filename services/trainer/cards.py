"""The model card beside trained weights: what they were trained on, how, and how good they are."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from services.embedder.models import model_cards
from services.mesh.registries import sha256
from services.trainer.recipes import Recipe

JSON_CARD = "model_card.json"
TEXT_CARD = model_cards.TRAINED

_TITLE = "Weights trained by this project"


@dataclass(frozen=True, slots=True)
class Entry:
    """All about one file.

    `models` are digests of what it was made from, by name; `photos` are catalogue -> how many
    were trained on; `split` is part -> photos; `recipes` and `figures` are by what was trained: a probes file
    has several. `curves` is the name of the picture beside it.
    """

    file: str
    sha256: str
    models: Mapping[str, str]
    photos: Mapping[str, int]
    split: Mapping[str, int]
    held_out: str
    recipes: Mapping[str, Recipe]
    figures: Mapping[str, Mapping[str, float]]
    best_epochs: Mapping[str, int]
    warnings: tuple[str, ...]
    curves: tuple[str, ...]
    duration_s: float
    machine: str


def write(entry: Entry, directory: Path) -> None:
    """Puts the entry into `model_card.json`, for programs, and `model_card.md`, for people.

    Entries of other files stay as long as those are the files that they describe.
    """
    path = directory / JSON_CARD
    entries = {**_kept(path, directory), entry.file: json.loads(json.dumps(asdict(entry)))}
    entries = {name: entries[name] for name in sorted(entries)}
    path.write_text(json.dumps({"title": _TITLE, "files": entries}, indent=2) + "\n")
    (directory / TEXT_CARD).write_text(_markdown(entries))


def machine(device: torch.device) -> str:
    """The kind of machine: cores, processor and, where it computed, GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    cores = f"{os.cpu_count()} cores, {named or platform.machine()}"
    return f"{torch.cuda.get_device_name(device)}, {cores}" if device.type == "cuda" else cores


def _kept(path: Path, directory: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text()).get("files", {})
    return {
        name: entry
        for name, entry in found.items()
        if (directory / name).is_file() and sha256(directory / name) == entry["sha256"]
    }


def _markdown(entries: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"# {_TITLE}", "", "| file | sha256 |", "|---|---|"]
    lines += [f"| {name} | `{entry['sha256']}` |" for name, entry in entries.items()]
    for name, entry in entries.items():
        lines += ["", f"## {name}", ""]
        models = ", ".join(f"{model} `{digest[:12]}`" for model, digest in entry["models"].items())
        lines += [
            f"Made from {models}.",
            "",
            "| catalogue | photos trained on |",
            "|---|---|",
        ]
        lines += [f"| {catalogue} | {count:,} |" for catalogue, count in entry["photos"].items()]
        parts = ", ".join(f"{count:,} {part}" for part, count in entry["split"].items())
        lines += ["", f"Photos: {parts}. {entry['held_out']}", ""]
        lines += [f"- {part}: {_said(recipe)}" for part, recipe in entry["recipes"].items()]
        for part, figures in entry["figures"].items():
            lines += ["", f"### {part}", "", "| figure | value |", "|---|---|"]
            lines += [f"| {figure} | {_number(value)} |" for figure, value in figures.items()]
        best = ", ".join(f"{part} {epoch}" for part, epoch in entry["best_epochs"].items())
        lines += ["", f"Best epoch: {best}. {entry['duration_s']:.0f} s on {entry['machine']}."]
        lines += [f"**{warning}**" for warning in entry["warnings"]]
    return "\n".join(lines) + "\n"


def _said(value: Mapping[str, Any]) -> str:
    flat: dict[str, Any] = {}
    for name, each in value.items():
        flat |= each if isinstance(each, dict) else {name: each}
    return ", ".join(
        f"{name.replace('_', ' ')} {each}" for name, each in flat.items() if each not in ([], ())
    )


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"
