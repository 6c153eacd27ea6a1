from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from services.gateway.access import audit, opening
from tests.log_lines import captured


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[MutableMapping[str, Any]]:
    """What access control logs, whatever level the process has been told by other tests."""
    return captured(monkeypatch, audit, opening)
