from __future__ import annotations

from pathlib import Path

from PIL import Image

from services.trainer import curves
from services.trainer.runs import Epoch


def test_curves_are_a_picture(tmp_path: Path) -> None:
    """Losses and score of every epoch are drawn, of a single one too."""
    history = [Epoch(n, 1 / n, 1.2 / n, -1.2 / n, {}, 1.0) for n in range(1, 6)]
    for name, epochs in (("many", history), ("one", history[:1])):
        path = tmp_path / f"{name}.png"
        curves.write(epochs, epochs[-1], "triplet", path)
        with Image.open(path) as picture:
            assert picture.size == (960, 384)
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50
