from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.embedder.budget import MemoryBudget

PATIENCE_S = 60


def test_what_fits_runs_at_once() -> None:
    """As many as there is room for meet each other."""
    budget = MemoryBudget(300)
    meeting = threading.Barrier(3, timeout=PATIENCE_S)

    def work() -> None:
        with budget.hold(100):
            meeting.wait()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result(PATIENCE_S)


@pytest.mark.parametrize("size_bytes", [60, 100, 1000])
def test_what_does_not_fit_waits(size_bytes: int) -> None:
    """Never do two run at once that are too large together, and what is too large for itself runs alone."""
    budget = MemoryBudget(100)
    inside = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with budget.hold(size_bytes):
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work) for _ in range(200)]:
            done.result(PATIENCE_S)
    assert most == 1


def test_room_is_given_back_after_an_error() -> None:
    """Work that fails holds nothing."""
    budget = MemoryBudget(100)
    for _ in range(3):
        with pytest.raises(RuntimeError), budget.hold(100):
            raise RuntimeError
    with budget.hold(100):
        pass
