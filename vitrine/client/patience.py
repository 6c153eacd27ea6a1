"""How long a call is made again that found a service away or full, or whose outcome is unknown."""

from __future__ import annotations

import time

from services.mesh.backoff import Backoff
from services.mesh.errors import DeadlineExceeded, Retryable, VitrineError
from vitrine.client.refusals import UNREACHED

_MAX_BACKOFF_S = 5.0


class Patience:
    """The tries of one operation. They are harmless where the operation carries a request id, or only reads.

    A gateway that was never there is not one that restarts: with `answered` False, the first call that nobody
    answers is the last.
    """

    def __init__(self, patience_s: float, *, answered: bool) -> None:
        self._give_up_at = time.monotonic() + patience_s
        self._answered = answered
        self._backoff = Backoff(initial_s=0.2, max_s=_MAX_BACKOFF_S, jitter=0.5)

    def delay_s(self, error: VitrineError) -> float:
        """Seconds to wait before the next try; raises the error itself when there is none."""
        if not isinstance(error, Retryable | DeadlineExceeded):
            raise error
        delay_s = self._backoff.next_s()
        self._answered |= error.reason not in UNREACHED
        if isinstance(error, Retryable) and error.reason not in UNREACHED:
            delay_s = max(delay_s, min(error.retry_after_s, _MAX_BACKOFF_S))
        if not self._answered or time.monotonic() + delay_s > self._give_up_at:
            raise error
        return delay_s
