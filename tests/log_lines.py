"""What modules log, whatever a host in the same process has set up before.

Structlog's own capture sees no logger that was used by then.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from types import ModuleType
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture


def captured(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> list[MutableMapping[str, Any]]:
    """The lines that these modules log from here on, of every level."""
    capture = LogCapture()
    wrapper = structlog.make_filtering_bound_logger(0)
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=wrapper)
    for module in modules:
        monkeypatch.setattr(module, "_log", log)
    return capture.entries
