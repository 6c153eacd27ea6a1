from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.mesh.pictures.budget import MemoryBudget

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


def test_much_does_not_wait_for_ever_behind_little() -> None:
    """Who came first goes first, although what came later would fit at once."""
    budget = MemoryBudget(100)
    order: list[str] = []
    first_inside, may_end = threading.Event(), threading.Event()

    def work(name: str, size_bytes: int) -> None:
        with budget.hold(size_bytes):
            order.append(name)
            if name == "first":
                first_inside.set()
                assert may_end.wait(PATIENCE_S)

    def waiting(count: int) -> None:
        while len(budget._waiting) != count:
            threading.Event().wait(0.001)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(work, "first", 50)]
        assert first_inside.wait(PATIENCE_S)
        for number, (name, size_bytes) in enumerate((("much", 100), ("little", 10)), start=1):
            jobs.append(pool.submit(work, name, size_bytes))
            waiting(number)
        may_end.set()
        for job in jobs:
            job.result(PATIENCE_S)
    assert order == ["first", "much", "little"]
