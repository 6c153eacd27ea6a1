"""What it takes to decode files: `python -m tests.embedder.peak_memory FILE...`, one line of JSON a file.

Each file has a fork of its own, whose peak is not hidden by what was decoded before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.embedder import images
from services.mesh.errors import InvalidArgument
from services.mesh.pictures import decoding


class _Noting:
    """Stands for the budget and remembers what was asked of it."""

    def __init__(self) -> None:
        self.held_bytes = 0

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        self.held_bytes = max(self.held_bytes, size_bytes)
        yield


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    for path in sys.argv[1:]:
        child = os.fork()
        if not child:
            _measure(Path(path))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, path


def _measure(path: Path) -> None:
    budget = _Noting()
    decoding._budget = budget  # type: ignore[assignment]
    data = path.read_bytes()
    before_bytes = _peak_bytes()
    # Not how long it takes, which is a matter of what else the machine does.
    start_s = time.process_time()
    refused = None
    try:
        images.decode(data, 224)
    except InvalidArgument as error:
        refused = error.reason
    cost = {
        "refused": refused,
        "grown_bytes": _peak_bytes() - before_bytes,
        "held_bytes": budget.held_bytes,
        "cpu_s": time.process_time() - start_s,
    }
    sys.stdout.write(json.dumps(cost) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
