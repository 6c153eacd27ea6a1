"""How long tests wait: a machine that stands still for seconds is nobody's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.mesh import channel


def let_connections_take_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have channels wait so long for a server that is slow to take a connection; refusals come as ever."""
    usual = channel.options

    def options(**how: Any) -> list[tuple[str, Any]]:
        return list({**dict(usual(**how)), "grpc.min_reconnect_backoff_ms": 60_000}.items())

    monkeypatch.setattr(channel, "options", options)


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again whether something holds, for at most a minute."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is looked at knows no events
            await asyncio.sleep(0.01)
