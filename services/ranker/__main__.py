"""`python -m services.ranker`."""

import os
import sys

# Probes are small products of matrices: threads that wait for each other take a hundred times as long on busy
# cores. BLAS reads this when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from services.mesh.server import run
from services.ranker.server import main
from services.ranker.settings import RankerSettings

run(main(RankerSettings.load(sys.argv[1:])))
