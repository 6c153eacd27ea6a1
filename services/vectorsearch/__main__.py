"""`python -m services.vectorsearch`."""

import sys

from services.mesh.server import run
from services.vectorsearch.server import main
from services.vectorsearch.settings import Settings

run(main(Settings.load(sys.argv[1:])))
