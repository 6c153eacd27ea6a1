from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.batching.batch_queue import BULK_SHARE, BatchLimits, BatchQueue
from services.mesh.batching.call import Job, Priority
from services.mesh.batching.durations import Durations
from tests.mesh.batching.jobs import job

BULK = Priority.BULK
INTERACTIVE = Priority.INTERACTIVE


def queue(max_items: int = 4, max_bytes: int = 1000, item_s: float = 1.0) -> BatchQueue[Job[Any, Any]]:
    """A queue before a device that takes `item_s` for each item."""
    return BatchQueue(BatchLimits(max_items, max_bytes), Durations(item_s))


def items(jobs: list[Job[Any, Any]]) -> list[Any]:
    return [each.item for each in jobs]


def test_a_batch_is_what_waits_in_order() -> None:
    """All that waits goes, first come first served, up to the limit of items."""
    waiting = queue()
    for number in range(6):
        waiting.put(job(number))
    assert items(waiting.form(0).jobs) == [0, 1, 2, 3]
    assert items(waiting.form(0).jobs) == [4, 5]
    assert waiting.form(0).jobs == []


def test_a_batch_is_bounded_by_bytes() -> None:
    """The limit of bytes ends a batch, and a job larger than it goes alone."""
    waiting = queue(max_bytes=10)
    for number, size_bytes in enumerate((6, 4, 1, 50, 1)):
        waiting.put(job(number, size_bytes=size_bytes))
    assert [items(waiting.form(0).jobs) for _ in range(4)] == [[0, 1], [2], [3], [4]]


def test_kinds_do_not_mix_and_the_oldest_goes_first() -> None:
    """Jobs of another kind wait for a batch of their own, in order of their first job."""
    waiting = queue()
    for number, kind in enumerate("abab"):
        waiting.put(job(number, kind=kind, queued_at=number))
    assert [items(waiting.form(9).jobs) for _ in range(2)] == [[0, 2], [1, 3]]


def test_who_left_or_is_late_is_dropped_when_the_batch_forms() -> None:
    """Nothing is computed for callers that are gone or whose deadline has passed."""
    waiting = queue()
    gone, late, fine = job("gone"), job("late", deadline_at=5), job("fine", deadline_at=50)
    gone.call.left = True
    for each in (gone, late, fine):
        waiting.put(each)
    formed = waiting.form(now=6)
    assert (items(formed.left), items(formed.late), items(formed.jobs)) == (["gone"], ["late"], ["fine"])


def test_who_cannot_be_done_in_time_makes_way_but_a_lone_one_is_tried() -> None:
    """A job whose deadline is nearer than a pass is dropped while others wait, else it may still succeed."""
    waiting = queue(item_s=1.0)
    waiting.put(job("hopeless", deadline_at=0.5))
    waiting.put(job("hopeful", deadline_at=2))
    formed = waiting.form(now=0)
    assert (items(formed.late), items(formed.jobs)) == (["hopeless"], ["hopeful"])
    waiting.put(job("alone", deadline_at=0.5))
    assert items(waiting.form(now=0).jobs) == ["alone"]


def test_a_batch_is_no_larger_than_its_most_urgent_job_permits() -> None:
    """Two items take two seconds: the third would make the first one late."""
    waiting = queue(item_s=1.0)
    waiting.put(job("urgent", deadline_at=2.5))
    for number in range(3):
        waiting.put(job(number, deadline_at=100))
    assert items(waiting.form(now=0).jobs) == ["urgent", 0]


def test_where_more_than_a_batch_waits_batches_stay_full() -> None:
    """Who has no time for a full batch makes way, instead of cutting it down for all behind."""
    waiting = queue(max_items=2, item_s=1.0)
    waiting.put(job("urgent", deadline_at=1.5))
    for number in range(3):
        waiting.put(job(number, deadline_at=100))
    formed = waiting.form(now=0)
    assert (items(formed.late), items(formed.jobs)) == (["urgent"], [0, 1])


def test_interactive_goes_before_bulk() -> None:
    """A person is served first whoever came first."""
    waiting = queue(max_items=1)
    waiting.put(job("import", priority=BULK, queued_at=0))
    waiting.put(job("shopper", priority=INTERACTIVE, queued_at=1))
    assert [items(waiting.form(2).jobs) for _ in range(2)] == [["shopper"], ["import"]]


def test_bulk_gets_its_share_and_no_more() -> None:
    """Under endless interactive work bulk work gets its share of the time."""
    waiting = queue(max_items=1)
    turns = []
    for _ in range(400):
        for priority in (INTERACTIVE, BULK):
            waiting.put(job(priority, priority=priority))
        turns += items(waiting.form(0).jobs)
    assert turns.count(BULK) / len(turns) == pytest.approx(BULK_SHARE, abs=0.02)


def test_bulk_rides_along_where_it_costs_nothing() -> None:
    """Free places of an interactive batch are filled when the batch hardly takes longer for it."""
    durations = Durations(1.0)
    for size in (1, 8):
        durations.observe("kind", size, 1.0)
    waiting: BatchQueue[Job[Any, Any]] = BatchQueue(BatchLimits(8, 1000), durations)
    for number in range(3):
        waiting.put(job(number, priority=BULK))
    waiting.put(job("shopper"))
    assert items(waiting.form(0).jobs) == ["shopper", 0, 1, 2]


def test_bulk_does_not_ride_where_a_person_would_wait_for_it() -> None:
    """Where each item takes its time an interactive batch stays small."""
    waiting = queue(item_s=1.0)
    waiting.put(job("import", priority=BULK))
    waiting.put(job("shopper"))
    assert items(waiting.form(0).jobs) == ["shopper"]


def test_drain_gives_everything_up() -> None:
    """What waits is handed out once, and then nothing waits."""
    waiting = queue()
    for number in range(3):
        waiting.put(job(number, kind=number))
    assert sorted(items(list(waiting.drain()))) == [0, 1, 2]
    assert len(waiting) == 0
    assert waiting.form(0).jobs == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(Priority),
            st.integers(0, 30),
            st.one_of(st.just(math.inf), st.floats(0, 20)),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.integers(1, 6),
)
def test_every_job_comes_out_once(
    given_jobs: list[tuple[str, Priority, int, float, bool]], max_items: int
) -> None:
    """Whatever waits, each job is in one batch or dropped for a reason that holds; limits are kept."""
    waiting = queue(max_items=max_items, max_bytes=40, item_s=0.5)
    jobs = []
    for number, (kind, priority, size_bytes, deadline_at, left) in enumerate(given_jobs):
        each = job(
            number,
            kind=kind,
            priority=priority,
            size_bytes=size_bytes,
            deadline_at=deadline_at,
            queued_at=number,
        )
        each.call.left = left
        jobs.append(each)
        waiting.put(each)
    seen: list[Any] = []
    now = 0.0
    while len(waiting):
        formed = waiting.form(now)
        assert all(each.call.left for each in formed.left)
        assert all(
            not each.call.left and each.call.deadline_at < now + 0.5 * max_items for each in formed.late
        )
        assert len(formed.jobs) <= max_items
        assert len({each.kind for each in formed.jobs}) <= 1
        assert len(formed.jobs) <= 1 or sum(each.size_bytes for each in formed.jobs) <= 40
        assert formed.jobs or formed.dropped
        seen += items(formed.jobs) + items(formed.left) + items(formed.late)
        now += 1.0
    assert sorted(seen) == list(range(len(jobs)))
