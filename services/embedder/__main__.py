"""`python -m services.embedder`."""

import sys

from services.embedder.server import serve
from services.embedder.settings import EmbedderSettings
from services.mesh.server import run

run(serve(EmbedderSettings.load(sys.argv[1:])))
