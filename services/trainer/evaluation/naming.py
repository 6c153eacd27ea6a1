"""Figures and rankings in words, for tables and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIGURES = {
    "gender_at_10": "gender @10",
    "category_at_10": "category @10",
    "gender_and_category_at_10": "gender, category @10",
    "precision_at_10_type": "type @10",
    "colour_at_10": "colour @10",
    "recall_at_1_category": "category R@1",
    "recall_at_5_category": "category R@5",
    "recall_at_1_master": "master category R@1",
    "recall_at_5_master": "master category R@5",
    "recall_at_1_group": "same group R@1",
    "map_at_r": "type MAP@R",
    "text_to_image.recall_at_1": "title → photo R@1",
    "text_to_image.recall_at_10": "title → photo R@10",
    "text_to_image.mrr": "title → photo MRR",
}
"""By their path in the document of a space or profile."""

_SLICES = {"men_women": "men and women", "phone_photos": "phone photos"}


def rankings(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of every ranking, for people, with its part of a document or of a slice of it."""
    yield from document.get("spaces", {}).items()
    yield from document.get("profiles", {}).items()
    for name, entry in document.get("masked", {}).get("profiles", {}).items():
        yield f"{name}, masked", entry


def figure(entry: Mapping[str, Any], path: str) -> Mapping[str, float] | None:
    """The figure at a path such as `text_to_image.mrr`, None where there is none."""
    found: Any = entry
    for name in path.split("."):
        found = found.get(name, {})
    return found or None


def slice_name(name: str) -> str:
    """A slice in words: `men_women` is `men and women`, `gender/Women` is `Women`."""
    if "/" in name:
        return name.partition("/")[2]
    return _SLICES.get(name, name)
