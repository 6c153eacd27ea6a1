"""`python -m services.ranker`."""

import sys

from services.mesh.server import run
from services.ranker.server import main
from services.ranker.settings import RankerSettings

run(main(RankerSettings.load(sys.argv[1:])))
