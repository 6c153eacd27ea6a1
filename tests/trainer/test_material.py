from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from services.trainer import material
from services.trainer.catalogues import Photo
from services.trainer.material import Material


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


def test_a_caption_of_two_catalogues_is_one_row(photos: list[Photo]) -> None:
    """Of texts that are listed twice all photos point to the first."""
    texts = [*photos[0].captions, *photos[0].captions]
    vectors = np.zeros((len(texts), 384), dtype=np.float16)
    found = material.gather(photos[:1], np.zeros((1, 2048), dtype=np.float16), texts, vectors)
    assert found.caption_rows[0].tolist() == list(range(len(photos[0].captions)))


def test_titled_photos_are_one_a_group(doubled: Material) -> None:
    """Of a product that two catalogues show the first photo stands for it."""
    titled = doubled.titled()
    assert {photo.catalogue for photo in titled.photos} == {"drawn"}
    assert len(titled.photos) == 90
    assert doubled.counts() == {"drawn": 90, "thumbnails": 90}


def test_photos_of_which_nothing_is_said_have_no_captions(drawn: Material) -> None:
    """They are left out where captions are needed."""
    mute = replace(drawn, caption_rows=(np.array([], dtype=np.int64), *drawn.caption_rows[1:]))
    assert mute.captioned().photos == drawn.photos[1:]
    assert mute.captioned().to(torch.device("cpu")).features.shape == (89, 2048)
