"""Hosts of photos that want to be left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from services.mesh.backoff import Backoff


class BusyHosts:
    """When each host may be asked again; one that gave nothing for `patience_s` is given up."""

    def __init__(
        self,
        *,
        patience_s: float,
        first_backoff_s: float,
        max_backoff_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s = patience_s
        self._first_backoff_s = first_backoff_s
        self._max_backoff_s = max_backoff_s
        self._clock = clock
        self._busy: dict[str, _Busy] = {}

    def failed(self, host: str, retry_after_s: float) -> None:
        """A photo of the host could not be had for now."""
        now = self._clock()
        if host not in self._busy:
            backoff = Backoff(initial_s=self._first_backoff_s, max_s=self._max_backoff_s, jitter=0.5)
            self._busy[host] = _Busy(now, backoff)
        busy = self._busy[host]
        # What was on its way when the host first complained counts as one complaint.
        if busy.ready_at <= now:
            busy.ready_at = now + max(busy.backoff.next_s(), min(retry_after_s, self._patience_s))

    def succeeded(self, host: str) -> None:
        """A photo of the host was had."""
        self._busy.pop(host, None)

    def ready_at(self, hosts: Iterable[str]) -> float:
        """When all of these may be asked again, on the clock."""
        return max((self._busy[host].ready_at for host in hosts if host in self._busy), default=0.0)

    def are_given_up(self, hosts: Iterable[str]) -> bool:
        """Whether one of these has given nothing for too long."""
        now = self._clock()
        return any(host in self._busy and now - self._busy[host].since >= self._patience_s for host in hosts)


class _Busy:
    def __init__(self, since: float, backoff: Backoff) -> None:
        self.since = since
        self.ready_at = since
        self.backoff = backoff
