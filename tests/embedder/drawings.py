"""Drawn pictures that a model trained on photos still recognises."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

from PIL import Image, ImageDraw

Draw = Callable[[], Image.Image]

SIDE = 448


def clock() -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 30, 418, 418), fill="white", outline="black", width=14)
    for minute in range(60):
        full = minute % 5 == 0
        pen.line(
            [_polar(minute, 150 if full else 170), _polar(minute, 182)], fill="black", width=8 if full else 3
        )
    for hour in range(1, 13):
        pen.text(_polar(hour * 5, 130), str(hour), fill="black", anchor="mm", font_size=34)
    pen.line([_polar(50, 95), _polar(0, 0)], fill="black", width=12)
    pen.line([_polar(6, 140), _polar(0, 0)], fill="black", width=8)
    return picture


def envelope() -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((50, 120, 398, 340), fill=(240, 235, 220), outline=(120, 110, 90), width=3)
    pen.line((50, 120, 224, 250, 398, 120), fill=(120, 110, 90), width=4)
    pen.line((50, 340, 180, 217), fill=(180, 170, 150), width=2)
    pen.line((398, 340, 268, 217), fill=(180, 170, 150), width=2)
    return picture


def crossword() -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for column in range(14):
        for row in range(14):
            x, y = column * 32, row * 32
            black = (column * 7 + row * 5 + column * row) % 6 == 0
            pen.rectangle(
                (x, y, x + 32, y + 32), fill="black" if black else "white", outline="black", width=2
            )
    return picture


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _polar(minute: float, radius: float) -> tuple[float, float]:
    angle = minute * math.pi / 30
    return SIDE / 2 + radius * math.sin(angle), SIDE / 2 - radius * math.cos(angle)
