"""Which settings of the autoscaler are best: a few of each, all simulated over the same arrivals."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace

from benchmarks.autoscaling import service_level, traffic
from benchmarks.autoscaling.figures import ClusterFigures, PodFigures
from benchmarks.autoscaling.hpa import DEFAULT_DOWN, DEFAULT_UP, HpaSettings, Policy, Rules
from benchmarks.autoscaling.service_level import Service
from benchmarks.autoscaling.simulation import BUSY, QUEUE, Cluster, Course
from benchmarks.autoscaling.traffic import Profile

MAX_REPLICAS = 20
# Settings whose breaks are so little longer than the shortest are as good, and the cheapest of them is best.
NEAR = 1.1
NEAR_S = 3.0
# Among those a few pod-seconds more or less decide nothing: the first of them is taken.
NEAR_PODS = 1.02

# Upwards: as Kubernetes does it by itself, faster, and as fast as it is asked for.
UPS = {
    "default": DEFAULT_UP,
    "fourfold": Rules((Policy("Percent", 300, 15.0), Policy("Pods", 4, 15.0))),
    "unbounded": Rules(()),
}
# Downwards: half of the pods a minute after so many calm seconds, and as Kubernetes does it by itself.
DOWNS = {
    "300 s, half a minute": Rules((Policy("Percent", 50, 60.0),), 300.0),
    "default": DEFAULT_DOWN,
    "120 s, half a minute": Rules((Policy("Percent", 50, 60.0),), 120.0),
    "0 s, all at once": Rules((Policy("Percent", 100, 15.0),), 0.0),
}
QUEUES: tuple[float | None, ...] = (8.0, 16.0, 32.0, 64.0, None)
BUSYS: tuple[float | None, ...] = (0.7, 0.8, 0.9, None)
MINIMA = (1, 2, 3, 4)
# Whoever came last is given the time to be answered.
_TAIL_S = 1.0
# The middle, around which one thing at a time is changed.
MIDDLE_UP, MIDDLE_DOWN, MIDDLE_MIN = "fourfold", "300 s, half a minute", 2


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination; None where a metric is not looked at. `up` and `down` are names of `UPS`, `DOWNS`."""

    queue: float | None
    busy: float | None
    up: str
    down: str
    min_replicas: int
    max_replicas: int = MAX_REPLICAS

    @property
    def hpa(self) -> HpaSettings:
        """As the autoscaler takes it."""
        targets = {QUEUE: self.queue, BUSY: self.busy}
        return HpaSettings(
            {name: target for name, target in targets.items() if target is not None},
            self.min_replicas,
            self.max_replicas,
            UPS[self.up],
            DOWNS[self.down],
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who comes, and the deadline that a search leaves the embedder; simulated once for each seed."""

    profile: Profile
    deadline_s: float
    seeds: tuple[int, ...] = (1,)

    @property
    def name(self) -> str:
        """By which results are known."""
        return f"{self.profile.name}, {self.deadline_s:g} s"


@dataclass(frozen=True, slots=True)
class Task:
    """One simulation, as it goes to another process."""

    setting: Setting
    pod: PodFigures
    cluster: ClusterFigures
    profile: Profile
    deadline_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Row:
    """A setting and what it did: the mean figures of each scenario by its name."""

    setting: Setting
    figures: dict[str, dict[str, float | None]]

    @property
    def broken_s(self) -> float:
        """Seconds over all scenarios that broke the objective."""
        return self._sum("broken_s")

    @property
    def pod_s(self) -> float:
        """Pod-seconds over all scenarios."""
        return self._sum("pod_s")

    def _sum(self, name: str) -> float:
        return round(sum(each[name] or 0.0 for each in self.figures.values()), 1)

    @property
    def published(self) -> dict[str, object]:
        """As JSON."""
        return {
            "setting": asdict(self.setting),
            "broken_s": self.broken_s,
            "pod_s": self.pod_s,
            "scenarios": self.figures,
        }


def run(task: Task) -> tuple[Course, Service]:
    """Simulate; the course and its figures."""
    cluster = Cluster(
        task.pod,
        task.cluster,
        task.setting.hpa,
        replicas=task.setting.min_replicas,
        deadline_s=task.deadline_s,
        seed=task.seed,
    )
    course = cluster.run(traffic.arrivals(task.profile, task.seed), task.profile.end_s + _TAIL_S)
    return course, service_level.of(course, task.profile, task.cluster, task.pod.capacity)


def figures(task: Task) -> Service:
    """Simulate; the figures alone."""
    return run(task)[1]


def targets() -> list[Setting]:
    """Every pair of targets, with the behaviour and the minimum of the middle."""
    return [
        Setting(queue, busy, MIDDLE_UP, MIDDLE_DOWN, MIDDLE_MIN)
        for queue, busy in itertools.product(QUEUES, BUSYS)
        if queue is not None or busy is not None
    ]


def ups(setting: Setting) -> list[Setting]:
    """The same with every behaviour upwards."""
    return [replace(setting, up=name) for name in UPS]


def downs(setting: Setting) -> list[Setting]:
    """The same with every behaviour downwards."""
    return [replace(setting, down=name) for name in DOWNS]


def minima(setting: Setting) -> list[Setting]:
    """The same with every minimum."""
    return [replace(setting, min_replicas=least) for least in MINIMA]


def compare(
    settings: Sequence[Setting],
    pod: PodFigures,
    cluster: ClusterFigures,
    scenarios: Sequence[Scenario],
    executor: Executor,
) -> list[Row]:
    """Every setting over all scenarios, in order."""
    tasks = [
        Task(setting, pod, cluster, each.profile, each.deadline_s, seed)
        for setting in settings
        for each in scenarios
        for seed in each.seeds
    ]
    found = iter(executor.map(figures, tasks))
    return [
        Row(setting, {each.name: _means([next(found) for _ in each.seeds]) for each in scenarios})
        for setting in settings
    ]


def _means(rounds: Sequence[Service]) -> dict[str, float | None]:
    """Each figure's mean; None where it is None in one of the rounds."""
    columns = {name: [getattr(each, name) for each in rounds] for name in asdict(rounds[0])}
    return {
        name: None if None in values else round(sum(values) / len(values), 4)
        for name, values in columns.items()
    }


def best(rows: Sequence[Row]) -> Row:
    """Of the rows with about the shortest breaks the first with about the fewest pod-seconds."""
    least = min(row.broken_s for row in rows)
    near = [row for row in rows if row.broken_s <= NEAR * least + NEAR_S]
    cheapest = min(row.pod_s for row in near)
    return next(row for row in near if row.pod_s <= NEAR_PODS * cheapest)
