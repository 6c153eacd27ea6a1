"""A discrete-event simulation of embedder pods, the metrics that they export, and their autoscaler.

No I/O and no clock but its own: the same figures and the same seed give the same course.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.figures import ClusterFigures, PodFigures
from benchmarks.autoscaling.hpa import SYNC_S, Autoscaler, HpaSettings, Samples
from benchmarks.autoscaling.pod import Item, Pod

QUEUE = "vitrine_embedder_queue_items"
BUSY = "vitrine_embedder_device_busy_ratio"

# How often the course is written down.
COURSE_S = 1.0


class Outcome(IntEnum):
    """How an arrival ended; `WAITING` when the simulation was over before."""

    WAITING = 0
    SERVED = 1
    REFUSED = 2
    LATE = 3


class _Event(IntEnum):
    # Of two at one moment the smaller comes first.
    PASS_ENDS = 0
    DECODED = 1
    CHANGE = 2
    SCRAPE = 3
    SYNC = 4
    COURSE = 5


@dataclass(slots=True, eq=False)
class _Place:
    """A pod in the cluster: what is to become of it, and what was scraped last."""

    pod: Pod
    created_at: float
    runs_at: float
    listens_at: float
    ready_at: float
    in_turn_at: float
    deleted_at: float | None = None
    gone_at: float | None = None
    samples: list[tuple[float, int, float]] = field(default_factory=list)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """The state at one time: pods that are paid for, those in the callers' turn, items inside of all pods.

    `busy` is the mean of the busy ratios of the pods in turn.
    """

    at_s: float
    pods: int
    serving: int
    waiting: int
    busy: float


@dataclass(frozen=True, slots=True)
class Course:
    """What happened.

    `arrived_s`, `latency_s` (float64 [n], NaN where nothing was answered) and `outcomes` (uint8 [n]) are by
    arrival. `pod_s` counts every pod from its creation until it is gone. `passes`, `pass_items` and
    `waited_s` are sums over all passes.
    """

    arrived_s: npt.NDArray[np.float64]
    latency_s: npt.NDArray[np.float64]
    outcomes: npt.NDArray[np.uint8]
    moments: Sequence[Moment]
    pod_s: float
    passes: int
    pass_items: int
    waited_s: float

    def count(self, outcome: Outcome) -> int:
        """How many arrivals ended so."""
        return int((self.outcomes == outcome).sum())


class Cluster:
    """One run. `replicas` pods are ready when it begins; without `hpa` they stay as many."""

    def __init__(
        self,
        pod: PodFigures,
        cluster: ClusterFigures,
        hpa: HpaSettings | None,
        *,
        replicas: int,
        deadline_s: float,
        seed: int,
    ) -> None:
        self._figures = pod
        self._cluster = cluster
        self._deadline_s = deadline_s
        self._chance = random.Random(seed)
        self._autoscaler = Autoscaler(hpa) if hpa else None
        self._events: list[tuple[float, int, int, _Place | None, Item | int]] = []
        self._numbers = itertools.count()
        self._places: list[_Place] = []
        self._gone: list[_Place] = []
        self._turn: list[_Place] = []
        self._next = [self._chance.randrange(1000) for _ in range(cluster.gateways)]
        for _ in range(replicas):
            self._create(0.0, already_ready=True)

    def run(self, arrived_s: npt.NDArray[np.float64], end_s: float) -> Course:
        """Let these arrive (seconds, growing, float64 [n]) and go on until `end_s`."""
        latency_s = np.full(len(arrived_s), np.nan)
        outcomes = np.zeros(len(arrived_s), np.uint8)
        moments: list[Moment] = []
        self._push(0.0, _Event.COURSE)
        if self._autoscaler:
            self._push(self._chance.uniform(0, SYNC_S), _Event.SYNC)
        waiting = iter(arrived_s.tolist())
        next_arrival = next(waiting, np.inf)
        index = 0
        while True:
            soonest = self._events[0][0]
            if min(soonest, next_arrival) > end_s:
                break
            if next_arrival < soonest:
                if not self._arrive(index, next_arrival):
                    outcomes[index] = Outcome.REFUSED
                index += 1
                next_arrival = next(waiting, np.inf)
                continue
            at, event, _, place, what = heapq.heappop(self._events)
            match event:
                case _Event.PASS_ENDS if place is not None and what == place.version:
                    for item in place.pod.advance(at):
                        latency_s[item.index] = at - item.arrived_at + self._figures.overhead_s
                        in_time = at <= item.deadline_at
                        outcomes[item.index] = Outcome.SERVED if in_time else Outcome.LATE
                    self._work(place, at, outcomes)
                case _Event.DECODED if place is not None and isinstance(what, Item):
                    place.pod.put(what, at)
                    self._work(place, at, outcomes)
                case _Event.CHANGE:
                    self._settle(at)
                case _Event.SCRAPE if place is not None:
                    self._scrape(place, at)
                case _Event.SYNC:
                    self._sync(at)
                case _Event.COURSE:
                    moments.append(self._moment(at))
                    self._push(at + COURSE_S, _Event.COURSE)
        everyone = self._places + self._gone
        pods = [place.pod for place in everyone]
        return Course(
            arrived_s,
            latency_s,
            outcomes,
            moments,
            sum((end_s if each.gone_at is None else each.gone_at) - each.created_at for each in everyone),
            sum(pod.served_passes for pod in pods),
            sum(pod.served_items for pod in pods),
            sum(pod.waited_s for pod in pods),
        )

    def _push(self, at: float, event: _Event, place: _Place | None = None, what: Item | int = 0) -> None:
        heapq.heappush(self._events, (at, event, next(self._numbers), place, what))

    def _create(self, now: float, *, already_ready: bool = False) -> None:
        figures, cluster = self._figures, self._cluster
        pod = Pod(figures, self._chance)
        runs_at = now + cluster.schedule_s
        listens_at = runs_at + figures.listen_s
        # The probe comes at some moment of its period.
        ready_at = runs_at + figures.start_s + self._chance.uniform(0, cluster.probe_s)
        in_turn_at = ready_at + cluster.ageing_s
        if already_ready:
            runs_at = listens_at = ready_at = in_turn_at = now
        else:
            pod.worked(listens_at, runs_at + figures.start_s)
        place = _Place(pod, now, runs_at, listens_at, ready_at, in_turn_at)
        self._places.append(place)
        self._push(in_turn_at, _Event.CHANGE)
        self._push(listens_at + self._chance.uniform(0, cluster.scrape_s), _Event.SCRAPE, place)

    def _delete(self, now: float) -> None:
        """One pod less: the one that is farthest from being ready, and then the youngest."""
        living = [place for place in self._places if place.deleted_at is None]
        place = max(living, key=lambda each: (each.runs_at > now, each.ready_at > now, each.created_at))
        place.deleted_at = now
        self._push(now + self._cluster.pre_stop_s, _Event.CHANGE)

    def _settle(self, now: float) -> None:
        """Who is in the callers' turn now, and who is gone."""
        pre_stop_s = self._cluster.pre_stop_s
        for place in [each for each in self._places if each.deleted_at is not None]:
            if place.deleted_at is not None and now >= place.deleted_at + pre_stop_s and not place.pod.inside:
                place.gone_at = now
                self._places.remove(place)
                self._gone.append(place)
        self._turn = [
            place
            for place in self._places
            if place.in_turn_at <= now and (place.deleted_at is None or now < place.deleted_at + pre_stop_s)
        ]

    def _arrive(self, index: int, now: float) -> bool:
        """Whether the pod whose turn it is lets the arrival in."""
        gateway = self._chance.randrange(len(self._next))
        self._next[gateway] += 1
        if not self._turn:
            self._settle(now)
        place = self._turn[self._next[gateway] % len(self._turn)]
        item = Item(index, now, now + self._deadline_s)
        decoded_at = place.pod.admit(item, now)
        if decoded_at is None:
            return False
        self._push(decoded_at, _Event.DECODED, place, item)
        return True

    def _work(self, place: _Place, now: float, outcomes: npt.NDArray[np.uint8]) -> None:
        """Start what can be started, and wait for the first pass to end."""
        for item in place.pod.begin(now):
            outcomes[item.index] = Outcome.LATE
        place.version += 1
        ends_at = place.pod.next_end()
        if ends_at is not None:
            self._push(max(now, ends_at), _Event.PASS_ENDS, place, place.version)
        elif place.deleted_at is not None:
            self._settle(now)

    def _scrape(self, place: _Place, now: float) -> None:
        if place.gone_at is not None:
            return
        ratio = place.pod.busy_ratio(now, place.listens_at)
        place.samples = [*place.samples[-1:], (now, place.pod.waiting, ratio)]
        self._push(now + self._cluster.scrape_s, _Event.SCRAPE, place)

    def _sync(self, now: float) -> None:
        assert self._autoscaler is not None
        living = [place for place in self._places if place.deleted_at is None]
        pending = sum(place.runs_at > now for place in living)
        known = []
        for place in living:
            seen = [sample for sample in place.samples if sample[0] <= now - self._cluster.adapter_s]
            known += seen[-1:]
        missing = len(living) - pending - len(known)
        metrics = {
            QUEUE: Samples([queue for _, queue, _ in known], missing, pending),
            BUSY: Samples([ratio for _, _, ratio in known], missing, pending),
        }
        wanted = self._autoscaler.decide(now, len(living), metrics)
        for _ in range(wanted - len(living)):
            self._create(now)
        for _ in range(len(living) - wanted):
            self._delete(now)
        self._push(now + SYNC_S, _Event.SYNC)

    def _moment(self, now: float) -> Moment:
        waiting = sum(place.pod.inside for place in self._places)
        busy = [place.pod.busy_ratio(now, place.listens_at) for place in self._turn]
        return Moment(
            now, len(self._places), len(self._turn), waiting, sum(busy) / len(busy) if busy else 0.0
        )
