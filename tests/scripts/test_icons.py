from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops

from scripts import icons


def test_the_icons_are_as_they_are_drawn() -> None:
    """Who changes the shapes draws the files anew; versions of Pillow may differ by a shade."""
    for path, content in icons.files().items():
        kept = (icons.STATIC / path).read_bytes()
        if path.endswith(".svg"):
            assert kept == content
            continue
        drawn, there = (Image.open(io.BytesIO(one)).convert("RGBA") for one in (content, kept))
        bands = ImageChops.difference(drawn, there).getextrema()
        assert max(band[1] for band in bands if isinstance(band, tuple)) <= 8, path


def test_drawing_twice_makes_the_same_file() -> None:
    """Nothing in a file tells when or where it was drawn."""
    assert icons.png(192, maskable=False) == icons.png(192, maskable=False)


@pytest.mark.parametrize("size_px", [192, 512])
def test_a_maskable_icon_keeps_what_it_shows_within_the_circle(size_px: int) -> None:
    """Outside four fifths of the width there is nothing but the ground, which covers the square."""
    picture = Image.open(io.BytesIO(icons.png(size_px, maskable=True))).convert("RGBA")
    ground = picture.getpixel((0, 0))
    assert isinstance(ground, tuple)
    assert ground[3] == 255
    shown = [(x, y) for x in range(size_px) for y in range(size_px) if picture.getpixel((x, y)) != ground]
    assert shown
    middle = size_px / 2
    assert max((x - middle) ** 2 + (y - middle) ** 2 for x, y in shown) <= (0.4 * size_px) ** 2
