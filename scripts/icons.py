"""Draw the icons of the page, a shop window under its awning: `python scripts/icons.py`.

The same shapes become `favicon.svg` and the PNG files that the web app manifest names.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

STATIC = Path(__file__).parents[1] / "services/gateway/http/static"

# All lengths are in units of a tile of 32 by 32.
TILE = 32
CORNER = 8
GREEN, CREAM, MINT = "#1d5c4f", "#f7f4ee", "#8fd0bc"
# A browser may cut a maskable icon down to a circle of four fifths of its size (W3C Web App Manifest, 5.7).
MASKABLE_SCALE = 0.84
# Drawn larger and scaled down, since Pillow's own edges are not smooth.
SUPERSAMPLING = 8
# Of the palette: three, and the shades between them.
COLOURS = 48


@dataclass(frozen=True)
class Stripe:
    """A stripe of the awning: a rectangle whose lower end is half a disc."""

    left: float
    top: float
    width: float
    height: float
    colour: str

    def svg(self) -> str:
        """The stripe as an SVG element."""
        radius = self.width / 2
        return (
            f'<path d="M{self.left:g} {self.top:g}h{self.width:g}v{self.height - radius:g}'
            f'a{radius:g} {radius:g} 0 0 1-{self.width:g} 0z" fill="{self.colour}"/>'
        )

    def draw(self, pen: Pen) -> None:
        """Draw the stripe."""
        right, bottom = self.left + self.width, self.top + self.height
        pen.box(self.left, self.top, right, bottom - self.width / 2, self.colour)
        pen.disc(self.left + self.width / 2, bottom - self.width / 2, self.width / 2, self.colour)


@dataclass(frozen=True)
class Line:
    """A line through points, round at its ends and bends."""

    points: tuple[tuple[float, float], ...]
    width: float
    colour: str

    def svg(self) -> str:
        """The line as an SVG element."""
        path = "L".join(f"{x:g} {y:g}" for x, y in self.points)
        return (
            f'<path d="M{path}" fill="none" stroke="{self.colour}" stroke-width="{self.width:g}" '
            'stroke-linecap="round" stroke-linejoin="round"/>'
        )

    def draw(self, pen: Pen) -> None:
        """Draw the line."""
        pen.line(self.points, self.width, self.colour)
        for x, y in self.points:
            pen.disc(x, y, self.width / 2, self.colour)


def shapes() -> Iterator[Stripe | Line]:
    """What the icon shows, from back to front."""
    # Upright edges lie on even numbers, so that they are sharp at 16 pixels.
    yield Line(((9, 11), (9, 25), (23, 25), (23, 11)), 2, CREAM)
    yield Line(((12.8, 16.2), (16, 20.8), (19.2, 16.2)), 2.2, MINT)
    for place in range(5):
        yield Stripe(6 + place * 4, 6, 4, 7, MINT if place % 2 else CREAM)


class Pen:
    """Draws in units of the tile on a picture, the tile scaled about its middle."""

    def __init__(self, picture: Image.Image, scale: float) -> None:
        self._pen = ImageDraw.Draw(picture)
        self._unit = picture.width / TILE * scale
        self._origin = picture.width / 2 * (1 - scale)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """A filled rectangle."""
        self._pen.rectangle([*self._at(left, top), *self._at(right, bottom)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        self._pen.ellipse([*self._at(x - radius, y - radius), *self._at(x + radius, y + radius)], fill=colour)

    def line(self, points: tuple[tuple[float, float], ...], width: float, colour: str) -> None:
        """A line without its ends and bends: Pillow's own are a little narrower than they should be."""
        for (x, y), (to_x, to_y) in itertools.pairwise(points):
            half = width / 2 / math.hypot(to_x - x, to_y - y)
            across, along = half * (y - to_y), half * (to_x - x)
            corners = [(x + across, y + along), (to_x + across, to_y + along)]
            corners += [(to_x - across, to_y - along), (x - across, y - along)]
            self._pen.polygon([self._at(*corner) for corner in corners], fill=colour)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._origin + x * self._unit, self._origin + y * self._unit


def svg() -> str:
    """The icon as SVG."""
    tile = f'<rect width="{TILE}" height="{TILE}" rx="{CORNER}" fill="{GREEN}"/>'
    drawn = "".join(shape.svg() for shape in shapes())
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {TILE} {TILE}">{tile}{drawn}</svg>\n'


def png(size_px: int, *, maskable: bool) -> bytes:
    """The icon as PNG; a maskable one fills its square, and leaves room around what it shows."""
    large_px = size_px * SUPERSAMPLING
    picture = Image.new("RGBA", (large_px, large_px), GREEN)
    pen = Pen(picture, MASKABLE_SCALE if maskable else 1)
    for shape in shapes():
        shape.draw(pen)
    if not maskable:
        mask = Image.new("L", picture.size, 0)
        corner = CORNER * large_px / TILE
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, large_px - 1, large_px - 1), corner, fill=255)
        picture.putalpha(mask)
    small = picture.resize((size_px, size_px), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return out.getvalue()


def files() -> dict[str, bytes]:
    """The content of each file by its path below `static`."""
    return {
        "favicon.svg": svg().encode(),
        "icons/192.png": png(192, maskable=False),
        "icons/512.png": png(512, maskable=False),
        "icons/maskable-512.png": png(512, maskable=True),
    }


def main() -> None:
    """Write the files."""
    for path, content in files().items():
        (STATIC / path).write_bytes(content)


if __name__ == "__main__":
    main()
