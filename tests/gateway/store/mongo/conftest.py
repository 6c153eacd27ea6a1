from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def unreachable() -> Iterator[None]:
    """For tests that end a server or ask for none.

    The driver leaves a socket to the garbage collector when it is closed while that one is connecting. The
    warning is not about us, and would be laid at the door of whatever test runs when it comes.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
