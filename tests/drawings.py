"""Product photos that are drawn: pictures of known kind and colour without a file in the repository."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (192, 256)

COLOURS = {
    "Red": (200, 30, 40),
    "Blue": (35, 70, 190),
    "Green": (30, 140, 70),
    "Yellow": (235, 200, 40),
    "Black": (30, 30, 32),
    "White": (236, 236, 232),
    "Pink": (240, 130, 170),
    "Brown": (120, 75, 45),
}

# Polygons on a canvas of 100 x 100, in drawing order.
_OUTLINES = {
    "Shirts": [
        [
            *((30, 15), (42, 18), (58, 18), (70, 15), (92, 35), (82, 48), (72, 40)),
            *((72, 90), (28, 90), (28, 40), (18, 48), (8, 35)),
        ],
    ],
    "Shoes": [
        [(8, 45), (30, 42), (52, 58), (86, 64), (94, 74), (8, 74)],
        [(6, 76), (95, 76), (92, 84), (8, 84)],
    ],
    "Handbags": [
        [(32, 45), (36, 22), (64, 22), (68, 45), (62, 45), (59, 28), (41, 28), (38, 45)],
        [(15, 44), (85, 44), (92, 88), (8, 88)],
    ],
    "Dresses": [
        [(38, 8), (44, 8), (46, 18), (54, 18), (56, 8), (62, 8), (66, 40), (88, 94), (12, 94), (34, 40)],
    ],
}
CATEGORIES = {"Shirts": "Topwear", "Shoes": "Shoes", "Handbags": "Bags", "Dresses": "Dress"}
GENDERS = ("Men", "Women")


def draw(kind: str, colour: str, *, gender: str = "Women", seed: int = 0) -> Image.Image:
    """An RGB picture of `SIZE`: a thing of `kind` in `colour` on a pale ground.

    `seed` moves and scales it a little; things for men are broader and have a stripe. The same arguments give
    the same pixels.
    """
    chance = random.Random(f"{kind}/{colour}/{gender}/{seed}")
    picture = Image.new("RGB", SIZE, tuple(chance.randint(238, 252) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    width, height = SIZE
    scale_x = width / 100 * chance.uniform(0.8, 0.9) * (1.08 if gender == "Men" else 1.0)
    scale_y = height / 100 * chance.uniform(0.75, 0.9)
    left, top = (width - 100 * scale_x) / 2 + chance.uniform(-4, 4), (height - 100 * scale_y) / 2

    def place(outline: list[tuple[int, int]]) -> list[tuple[float, float]]:
        return [(left + x * scale_x, top + y * scale_y) for x, y in outline]

    fill = COLOURS[colour]
    edge = tuple(channel * 2 // 3 for channel in fill)
    for outline in _OUTLINES[kind]:
        pen.polygon(place(outline), fill=fill, outline=edge, width=2)
    if gender == "Men":
        pen.line(place([(34, 66), (66, 66)]), fill=edge, width=5)
    return picture


def write_catalog(folder: Path) -> Path:
    """A catalogue folder of 64 drawn products, every eighth with a second photo; returns `folder`."""
    images = folder / "images"
    images.mkdir(parents=True)
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["id", "image", "title", "gender", "subCategory", "articleType", "baseColour", "price"]
        )
        things = [(kind, gender, colour) for kind in _OUTLINES for gender in GENDERS for colour in COLOURS]
        for number, (kind, gender, colour) in enumerate(things):
            title = f"{gender}'s {colour.lower()} {kind.lower()}"
            for view in range(2 if number % 8 == 0 else 1):
                image = f"{1000 + number}-{view}.png"
                draw(kind, colour, gender=gender, seed=view).save(images / image)
                row = [1000 + number, image, title, gender, CATEGORIES[kind], kind, colour, 10 + number]
                table.writerow(row)
    return folder
