from __future__ import annotations

from typing import Any

import pytest

from services.mesh import channel


@pytest.fixture(autouse=True)
def _patient_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may take a minute to be made: servers of tests are there, but machines stand still."""
    usual = channel.options

    def options(**how: Any) -> list[tuple[str, Any]]:
        return list({**dict(usual(**how)), "grpc.min_reconnect_backoff_ms": 60_000}.items())

    monkeypatch.setattr(channel, "options", options)
