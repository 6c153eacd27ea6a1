from __future__ import annotations

import time

import pytest

from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded


def test_without_a_deadline_all_of_the_time_is_left() -> None:
    """Outside of a request a call may take what it asks for."""
    assert deadline.remaining_s(12.5) == 12.5


def test_the_earlier_deadline_holds() -> None:
    """An inner limit may shorten the time, never lengthen it, and ends with its block."""
    with deadline.within(10):
        assert 9 < deadline.remaining_s(3600) <= 10
        assert deadline.remaining_s(2) == 2
        with deadline.within(100):
            assert deadline.remaining_s(3600) <= 10
        with deadline.within(1):
            assert deadline.remaining_s(3600) <= 1
        assert deadline.remaining_s(3600) > 9
    assert deadline.remaining_s(3600) == 3600


def test_when_the_time_is_up_nothing_is_begun() -> None:
    """A call that could not end in time is not made."""
    with deadline.within(0.001):
        time.sleep(0.002)
        with pytest.raises(DeadlineExceeded):
            deadline.remaining_s(1)
