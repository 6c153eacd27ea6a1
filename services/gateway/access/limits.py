"""What counts the requests of callers, so that nobody makes too many."""

from __future__ import annotations

from typing import Protocol


class Limiter(Protocol):
    """Counts requests by key: `services.mesh.rates.Buckets`, or all gateways together in Redis."""

    async def take(self, key: str, rate_per_s: float) -> float:
        """Count a request and return 0, or return the seconds until there is room for one."""
