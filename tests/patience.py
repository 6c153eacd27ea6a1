"""Limits of the product that tests raise: a machine that stands still for seconds is nobody's fault."""

from __future__ import annotations

from typing import Any

import pytest

from services.mesh import channel


def let_connections_take_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have channels wait so long for a server that is slow to take a connection; refusals come as ever."""
    usual = channel.options

    def options(**how: Any) -> list[tuple[str, Any]]:
        return list({**dict(usual(**how)), "grpc.min_reconnect_backoff_ms": 60_000}.items())

    monkeypatch.setattr(channel, "options", options)
