from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.vectorsearch.lanes import Lanes, alone

WIDE = 1 << 20


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    lanes = Lanes(3)
    yield lanes
    lanes.shutdown()


def parts_of(lanes: Lanes, rows: int, width: int) -> list[tuple[int, int]]:
    """The parts that a kernel was run over, in order of rows."""
    parts: list[tuple[int, int]] = []
    lanes.run(lambda start, stop: parts.append((start, stop)), rows, width)
    return sorted(parts)


def test_work_is_spread_over_all_lanes(lanes: Lanes) -> None:
    """Every row is computed once, in as many parts as there are lanes."""
    assert parts_of(lanes, 10, WIDE) == [(0, 3), (3, 6), (6, 10)]


def test_small_work_stays_in_its_thread(lanes: Lanes) -> None:
    """Waking a thread would take longer than the work."""
    assert parts_of(lanes, 10, 8) == [(0, 10)]


def test_a_failing_part_fails_the_search_after_all_parts_ended(lanes: Lanes) -> None:
    """What one lane raises is raised, but only when no lane writes any more."""
    ended: list[int] = []

    def kernel(start: int, stop: int) -> None:
        if start == 3:
            raise ValueError(f"rows {start} to {stop}")
        ended.append(start)

    with pytest.raises(ValueError, match="rows 3 to 6"):
        lanes.run(kernel, 10, WIDE)
    assert sorted(ended) == [0, 6]


def test_without_lanes_all_rows_are_one_part() -> None:
    """The plain way computes everything at once."""
    parts: list[tuple[int, int]] = []
    alone(lambda start, stop: parts.append((start, stop)), 5, WIDE)
    assert parts == [(0, 5)]
