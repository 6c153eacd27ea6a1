from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.trainer import figures
from services.trainer.catalogues import Photo

PLAIN = Photo(Path("p"), "", "c", "", "", "", "", "", "", "", "")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=3, max_size=30), st.integers(0, 99))
def test_map_at_r_is_what_the_definition_says(facts: list[tuple[int, int]], seed: int) -> None:
    """Equal to a plain loop: type 0 is none, photos of a group do not find each other."""
    photos = [replace(PLAIN, type=f"t{t}" if t else "", group=str(g)) for t, g in facts]
    vectors = torch.nn.functional.normalize(
        torch.randn(len(facts), 4, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    scores, expected = vectors @ vectors.T, []
    for row, one in enumerate(photos):
        others = [other for other in range(len(photos)) if photos[other].group != one.group]
        order = sorted(others, key=lambda other: -float(scores[row, other]))
        relevant = sum(photos[other].type == one.type for other in others)
        if not one.type or not relevant:
            continue
        found = [photos[other].type == one.type for other in order[:relevant]]
        precisions = [sum(found[: n + 1]) / (n + 1) * found[n] for n in range(relevant)]
        expected.append(sum(precisions) / relevant)
    measured = figures.of_images(vectors, photos)
    if expected:
        assert measured["mAP@R by type"] == pytest.approx(np.mean(expected), abs=1e-5)
    else:
        assert "mAP@R by type" not in measured


def test_recall_is_by_the_first_neighbours() -> None:
    """Four photos on a circle, whose nearest has another category and whose next the same."""
    angles = torch.tensor([0.0, 10.0, 25.0, 35.0]).deg2rad()
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    photos = [
        replace(PLAIN, group=str(n), category=word, master="m", type="t")
        for n, word in enumerate(["a", "b", "a", "b"])
    ]
    measured = figures.of_images(vectors, photos)
    assert measured["R@1 by category"] == 0
    assert measured["R@5 by category"] == 1
    assert measured["R@1 by master"] == 1
    assert figures.of_pairs(vectors, vectors) == {"title to photo R@1": 1, "title to photo R@10": 1}


def test_neighbours_are_judged_by_the_label_that_is_asked_for() -> None:
    """Three photos in a row: the colour of the ends is one, the type of neighbours is."""
    angles = torch.tensor([0.0, 10.0, 25.0]).deg2rad()
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    photos = [
        replace(PLAIN, group=str(n), type=kind, colour=colour)
        for n, (kind, colour) in enumerate([("a", "Red"), ("a", "Blue"), ("b", "red")])
    ]
    assert figures.of_images(vectors, photos) == {"mAP@R by type": 1}
    # The nearest of either red photo is the blue one, and of one right answer only the first place counts.
    assert figures.of_images(vectors, photos, "colour") == {"mAP@R by colour": 0}
    swapped = [photos[0], photos[2], photos[1]]
    assert figures.of_images(vectors, swapped, "colour") == {"mAP@R by colour": 1}


def test_labels_that_nobody_states_give_no_figure() -> None:
    """Zero would be a lie."""
    photos = [replace(PLAIN, group=str(n), type="t") for n in range(3)]
    assert figures.of_images(torch.eye(3), photos).keys() == {"mAP@R by type"}
