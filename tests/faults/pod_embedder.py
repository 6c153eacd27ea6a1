"""The embedder of numbered pictures as a pod: `python -m tests.faults.pod_embedder` serves."""

from __future__ import annotations

from services.embedder.settings import EmbedderSettings
from services.mesh.server import run
from tests.consistency.embedder import NumberEmbedder, serve
from tests.consistency.pictures import DIGEST

if __name__ == "__main__":
    run(serve(EmbedderSettings.load([]), NumberEmbedder([DIGEST])))
