"""Places for calls: so many are in hand at once, and more are refused."""

from __future__ import annotations

from services.mesh import metrics
from services.mesh.errors import ResourceExhausted

RETRY_AFTER_S = 0.5


class Places:
    """A place for each call in hand, held by `with`. No more than `most` are taken at once.

    Entering raises ResourceExhausted where none is left. What all places of the process hold and refuse is
    counted together, whatever the calls come over.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def __enter__(self) -> None:
        if self._taken >= self._most:
            metrics.REJECTED.inc()
            raise ResourceExhausted(
                f"{self._most} calls are being handled already", retry_after_s=RETRY_AFTER_S
            )
        self._taken += 1
        metrics.INFLIGHT.inc()

    def __exit__(self, *_error: object) -> None:
        self._taken -= 1
        metrics.INFLIGHT.dec()
