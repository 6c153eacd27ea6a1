"""The embedder with an engine that keeps a record of every batch it is given.

`python -m benchmarks.embedder.recording RECORD [flags of services.embedder]`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.embedder.record import Record
from services.embedder.engine import Engine, Vectors
from services.embedder.images import Pixels
from services.embedder.server import serve
from services.embedder.settings import EmbedderSettings
from services.mesh.server import run


class RecordingEngine(Engine):
    """An Engine that writes down what it is given before it computes."""

    def __init__(self, record: Path, *models_dirs: Path, **placement: Any) -> None:
        super().__init__(*models_dirs, **placement)
        self._record = Record(record)

    def embed_images(
        self, images: Pixels | Sequence[Pixels], names: Sequence[str] = ()
    ) -> dict[str, Vectors]:
        """As Engine's."""
        self._record.add(list(images))
        return super().embed_images(images, names)


if __name__ == "__main__":
    settings = EmbedderSettings.load(sys.argv[2:])
    run(serve(settings, partial(RecordingEngine, Path(sys.argv[1]))))
