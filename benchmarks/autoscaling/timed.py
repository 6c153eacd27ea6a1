"""The embedder with an engine that writes down when each of its passes began and ended, and of how many.

`python -m benchmarks.autoscaling.timed RECORD [flags of services.embedder]`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from services.embedder.engine import Engine, Vectors
from services.embedder.images import Pixels
from services.embedder.server import serve
from services.embedder.settings import EmbedderSettings
from services.mesh.server import run


class TimedEngine(Engine):
    """An Engine that notes each pass of pictures: a line of begin, end (`time.monotonic`) and pictures."""

    def __init__(self, record: Path, *models_dirs: Path, **placement: Any) -> None:
        super().__init__(*models_dirs, **placement)
        self._path = record

    def embed_images(
        self, images: Pixels | Sequence[Pixels], names: Sequence[str] = ()
    ) -> dict[str, Vectors]:
        """As Engine's."""
        began_at = time.monotonic()
        vectors = super().embed_images(images, names)
        line = f"{began_at!r} {time.monotonic()!r} {len(images)}\n"
        # Unbuffered and at the end of the file, a line is one write, which no other thread comes between.
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())
        return vectors


if __name__ == "__main__":
    settings = EmbedderSettings.load(sys.argv[2:])
    run(serve(settings, partial(TimedEngine, Path(sys.argv[1]))))
