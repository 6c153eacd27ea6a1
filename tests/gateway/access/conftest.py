from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from services.gateway.access import audit, opening


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[MutableMapping[str, Any]]:
    """What access control logs, whatever level the process has been told by other tests."""
    capture = LogCapture()
    wrapper = structlog.make_filtering_bound_logger(0)
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=wrapper)
    for module in (audit, opening):
        monkeypatch.setattr(module, "_log", log)
    return capture.entries
