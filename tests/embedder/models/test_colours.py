from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from services.embedder.models import colours
from tests.drawings import COLOURS, draw

Colour = tuple[int, int, int]

SIDE = 224
WHITE, GREY, RED, BLUE = (255, 255, 255), (128, 128, 128), (200, 30, 40), (35, 70, 190)


def square(fill: Colour, *, ground: Colour = WHITE, left: int = 52, top: int = 52, side: int = 120) -> Tensor:
    """A square on a plain ground, uint8 [1, SIDE, SIDE, 3]."""
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill=fill)
    return pixels(picture)


def pixels(picture: Image.Image) -> Tensor:
    """Of a picture, uint8 [1, height, width, 3]."""
    return torch.from_numpy(np.array(picture)[None])


def likeness(one: Tensor, other: Tensor) -> float:
    """The cosine of the histograms of two pictures."""
    return float((colours.histograms(one) * colours.histograms(other)).sum())


def share_of(picture: Tensor, fill: Colour) -> float:
    """How much of a picture's histogram lies in the bins of a colour that fills a whole picture."""
    bins = colours.histograms(torch.tensor(fill, dtype=torch.uint8).expand(1, SIDE, SIDE, 3))[0] > 1e-3
    return float(colours.histograms(picture)[0, bins].square().sum())


@pytest.mark.parametrize("place", [(20, 20), (88, 24), (52, 88)])
def test_a_thing_is_of_its_colour_wherever_it_is(place: tuple[int, int]) -> None:
    """A red square on white is red near a corner as in the middle, and hardly white."""
    left, top = place
    moved = square(RED, left=left, top=top)
    assert likeness(moved, square(RED)) > 0.99
    assert share_of(moved, RED) > 0.95
    assert share_of(moved, WHITE) < 0.04


@pytest.mark.parametrize("ground", [WHITE, GREY, BLUE, (20, 20, 20)])
def test_a_plain_ground_does_not_count(ground: Colour) -> None:
    """The same thing is of the same colour whatever plain colour lies behind it."""
    assert likeness(square(RED, ground=ground), square(RED)) > 0.97


def test_a_ground_that_is_not_plain_counts() -> None:
    """Where the border tells of no ground, nothing can be told from it, and the middle counts most."""
    chance = np.random.default_rng(0)
    noise = torch.from_numpy(chance.integers(0, 256, (1, 28, 28, 3), np.uint8))
    room = noise.repeat_interleave(8, 1).repeat_interleave(8, 2)
    middle = slice(72, 152)
    room[:, middle, middle] = torch.tensor(RED, dtype=torch.uint8)
    assert 0.2 < share_of(room, RED) < 0.8


@pytest.mark.parametrize("fill", [WHITE, GREY, (0, 0, 0), RED])
def test_a_thing_in_the_colour_of_its_ground_still_has_one(fill: Colour) -> None:
    """White on white, or a picture of one colour: finite, of length one, and of that colour."""
    found = colours.histograms(square(fill, ground=fill))
    assert found.shape == (1, colours.DIM)
    assert found.isfinite().all()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))
    assert share_of(square(fill, ground=fill), fill) > 0.99


def test_greys_differ_from_colours_and_from_each_other() -> None:
    """Black, grey and white have nothing in common with red, nor black with white."""
    ground = (150, 120, 60)
    black, grey, white, red = (square(fill, ground=ground) for fill in ((0, 0, 0), GREY, WHITE, RED))
    for one, other in [(black, red), (grey, red), (white, red), (black, white), (black, grey), (grey, white)]:
        assert likeness(one, other) < 0.2


def test_shades_of_a_colour_are_alike_and_other_colours_are_not() -> None:
    """A little lighter red is nearer to red than orange is, and blue is far."""
    near, orange, blue = ((215, 45, 50), (240, 140, 30), BLUE)
    likenesses = [likeness(square(RED), square(fill)) for fill in (near, orange, blue)]
    assert likenesses == sorted(likenesses, reverse=True)
    assert likenesses[0] > 0.8
    assert likenesses[2] < 0.1


@pytest.mark.parametrize("kind", ["Shirts", "Shoes", "Handbags", "Dresses"])
def test_size_does_not_matter(kind: str) -> None:
    """A picture and its copy of half the size have nearly the same histogram."""
    large = draw(kind, "Green").resize((2 * SIDE, 2 * SIDE))
    assert likeness(pixels(large), pixels(large.resize((SIDE, SIDE), Image.Resampling.BOX))) > 0.99


@pytest.mark.parametrize("colour", COLOURS)
def test_things_of_different_shape_share_their_colour(colour: str) -> None:
    """A shoe is likest to the shirt of its own colour among shirts of all colours."""
    shoe = pixels(draw("Shoes", colour).resize((SIDE, SIDE)))
    likenesses = {name: likeness(shoe, pixels(draw("Shirts", name).resize((SIDE, SIDE)))) for name in COLOURS}
    assert max(likenesses, key=likenesses.__getitem__) == colour


def test_a_batch_gives_what_single_pictures_give() -> None:
    """A picture's histogram does not depend on its company."""
    batch = torch.cat([square(RED), square(BLUE, ground=GREY), square(WHITE), pixels(_noise(0))])
    alone = torch.cat([colours.histograms(batch[row : row + 1]) for row in range(len(batch))])
    torch.testing.assert_close(colours.histograms(batch), alone, rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    grain=st.sampled_from([1, 8, 56]),
    side=st.sampled_from([8, 56, 100, SIDE]),
)
def test_any_picture_has_a_histogram(seed: int, grain: int, side: int) -> None:
    """Of whatever pixels and size, it is finite, not negative and of length one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (grain, grain, 3), np.uint8)
    found = colours.histograms(pixels(Image.fromarray(coarse).resize((side, side))))
    assert found.dtype is torch.float32
    assert found.isfinite().all()
    assert (found >= 0).all()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))


def test_a_pass_takes_nothing_from_the_host() -> None:
    """All numbers are made on the device, for a CUDA graph cannot record a copy from ordinary memory."""

    class FromHost(TorchDispatchMode):
        """Refuses what `torch.tensor` makes of Python's numbers."""

        def __torch_dispatch__(
            self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            assert func is not torch.ops.aten.lift_fresh.default, "numbers were copied to the device"
            return func(*args, **kwargs or {})

    picture = square(RED)
    with FromHost():  # type: ignore[no-untyped-call]  # Torch does not annotate its constructor.
        colours.histograms(picture)


def _noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8))
