from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from services.embedder.images import Pixels, decode
from services.trainer.evaluation import pictures
from tests.drawings import draw


def pixels(image: Image.Image, *, quality: int = 95, width: int = 192) -> Pixels:
    buffer = io.BytesIO()
    image.resize((width, width * 4 // 3)).save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue(), 224)


def test_a_photo_encoded_anew_shows_the_same_picture() -> None:
    """Another size and quality changes nothing; another thing, or the same in another colour, does."""
    red, blue = draw("Shoes", "Red"), draw("Shoes", "Blue")
    shown = [red, draw("Shirts", "Red"), blue, red]
    thumbnails = [pictures.thumbnail(pixels(image)) for image in shown[:3]]
    thumbnails.append(pictures.thumbnail(pixels(red, quality=40, width=300)))
    assert list(pictures.same_pictures(np.stack(thumbnails))) == [(0, 3)]


def test_a_shop_s_photo_has_a_plain_border() -> None:
    """A thing on paper is plain, the same thing in a room is not."""
    shop = draw("Dresses", "Green")
    assert pictures.plainness(pixels(shop)) > 0.95
    noise = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    room = Image.fromarray(noise).resize(shop.size, Image.Resampling.BICUBIC)
    room.paste(shop.resize((96, 128)), (48, 64))
    assert pictures.plainness(pixels(room)) < pictures.PLAIN_SHARE


def test_what_stands_on_the_lower_edge_is_no_background() -> None:
    """Legs and floors at the bottom leave a photo plain."""
    image = draw("Shirts", "Black").filter(ImageFilter.BLUR)
    ImageDraw.Draw(image).rectangle((20, 240, 172, 256), fill=(90, 10, 10))
    assert pictures.plainness(pixels(image)) > 0.95
