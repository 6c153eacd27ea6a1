from __future__ import annotations

import pytest

from tests.patience import let_connections_take_a_minute


@pytest.fixture(autouse=True)
def _patient_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    let_connections_take_a_minute(monkeypatch)
