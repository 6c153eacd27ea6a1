from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.vectorsearch.lock import SharedLock


def until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def test_a_newcomer_does_not_take_the_place_of_one_who_waited() -> None:
    """Readers that waited through a write go before the next one, however slow they are to wake up."""
    lock = SharedLock()
    order: list[str] = []

    def read() -> None:
        with lock.shared():
            order.append("waited")

    def write() -> None:
        with lock.exclusive():
            order.append("write")

    reader, writer = threading.Thread(target=read), threading.Thread(target=write)
    held = lock.exclusive()
    with held:
        reader.start()
        until(lambda: lock._readers_waiting == 1)
        writer.start()
        until(lambda: lock._writers_waiting == 1)
        # From here on nobody else wakes up before the newcomer is there.
        lock._turn.acquire()
    try:
        with lock.shared():
            order.append("newcomer")
    finally:
        lock._turn.release()
    reader.join()
    writer.join()
    assert order == ["waited", "write", "newcomer"]
