from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.trainer import material
from services.trainer.catalogues import Photo
from services.trainer.material import Material


def test_a_group_is_never_split(photos: list[Photo]) -> None:
    """All photos of one product are on one side, and each photo is on one side only."""
    pairs = [photo for photo in photos for _ in range(2)]
    kept, held_out = material.split(pairs, 0.3)
    assert sorted([*kept, *held_out]) == list(range(180))
    assert not {pairs[row].group for row in kept} & {pairs[row].group for row in held_out}
    assert 0.1 < len(held_out) / 180 < 0.5


def test_the_split_does_not_depend_on_the_order(photos: list[Photo]) -> None:
    """A photo is on the same side whatever else is in the catalogue."""
    _, held_out = material.split(photos, 0.3)
    _, reversed_out = material.split(photos[::-1], 0.3)
    assert {photos[row].group for row in held_out} == {photos[::-1][row].group for row in reversed_out}


def test_caption_rows_lead_to_the_captions(drawn: Material) -> None:
    """Each photo's rows are its captions in their order, also after taking some photos."""
    texts = material.distinct_captions(drawn.photos)
    taken = drawn.take(np.array([4, 2]))
    assert taken.photos == (drawn.photos[4], drawn.photos[2])
    for photo, rows in zip(taken.photos, taken.caption_rows, strict=True):
        assert tuple(texts[row] for row in rows) == photo.captions
    assert (taken.features == drawn.features[[4, 2]]).all()


def test_a_caption_counts_once(photos: list[Photo]) -> None:
    """Captions that photos share are listed once, in order."""
    twins = [replace(photo, title="Same") for photo in photos[:2]]
    texts = material.distinct_captions(twins)
    assert texts == sorted(set(texts))
    assert texts.count("Same") == 1
