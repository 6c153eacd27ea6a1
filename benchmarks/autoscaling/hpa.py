"""The algorithm of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2) for metrics of type Pods.

After "Horizontal Pod Autoscaling" in the Kubernetes documentation
(https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/), sections "Algorithm
details" and "Configurable scaling behavior". Where the text leaves something open, it is as the controller of
Kubernetes does it (`pkg/controller/podautoscaler`): pods that are Pending are set aside whatever the metric,
but of those that run readiness counts for CPU alone; a running pod without a sample is a missing metric.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

TOLERANCE = 0.1
SYNC_S = 15.0


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `value` pods, or per cent of them, are added or removed within `period_s` seconds."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of `behavior`. Without policies nothing is limited; `Disabled` forbids the direction."""

    policies: tuple[Policy, ...]
    stabilization_s: float = 0.0
    select: Literal["Max", "Min", "Disabled"] = "Max"


# What holds where `behavior` says nothing ("Default behavior" of the documentation).
DEFAULT_UP = Rules((Policy("Percent", 100, 15.0), Policy("Pods", 4, 15.0)))
DEFAULT_DOWN = Rules((Policy("Percent", 100, 15.0),), stabilization_s=300.0)


@dataclass(frozen=True, slots=True)
class HpaSettings:
    """The spec of an autoscaler: a target average by metric, the bounds, and both directions' behaviour."""

    targets: dict[str, float]
    min_replicas: int
    max_replicas: int
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class Samples:
    """The newest value of one metric of each running pod that has one, and how many have none.

    `missing` pods run and have not been scraped yet, `pending` ones do not run yet. Pods that are being
    deleted are in none of the three.
    """

    values: Sequence[float]
    missing: int = 0
    pending: int = 0


def desired_by_metric(
    current: int, samples: Samples, target: float, tolerance: float = TOLERANCE
) -> int | None:
    """Replicas that one metric asks for, `current` where it is near enough; None where no pod has a value."""
    ready = len(samples.values)
    if not ready:
        return None
    total = sum(samples.values)
    ratio = total / (ready * target)
    set_aside = samples.pending if ratio > 1 else 0
    if not samples.missing and not set_aside:
        return current if abs(1 - ratio) <= tolerance else _ceil(ratio * ready)
    # Who is missing is taken for 100% of the target on the way down and for nothing on the way up.
    if ratio < 1:
        total += samples.missing * target
    counted = ready + samples.missing + set_aside
    damped = total / (counted * target)
    wanted = _ceil(damped * counted)
    turned = (damped > 1) != (ratio > 1) or (wanted < current if damped > 1 else wanted > current)
    return current if abs(1 - damped) <= tolerance or turned else wanted


@dataclass(slots=True)
class Autoscaler:
    """Decides about the number of replicas, and remembers what it recommended and did."""

    settings: HpaSettings
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, current: int, metrics: dict[str, Samples]) -> int:
        """The number of replicas from `now` on, given the last samples; `now` grows from call to call."""
        asked = [
            desired_by_metric(current, metrics[name], target, self.settings.tolerance)
            for name, target in self.settings.targets.items()
        ]
        known = [each for each in asked if each is not None]
        desired = max(known, default=current)
        # With a metric missing altogether nothing is scaled down.
        if len(known) < len(asked) and desired < current:
            desired = current
        decided = self._limited(now, current, self._stabilized(now, current, desired))
        if decided != current:
            self._changes.append((now, decided - current))
        return decided

    def _stabilized(self, now: float, current: int, desired: int) -> int:
        """The least upwards and the greatest downwards that was recommended within the direction's window."""
        up, down = self.settings.up.stabilization_s, self.settings.down.stabilization_s
        highest_up = min([each for at, each in self._recommended if at > now - up] + [desired])
        lowest_down = max([each for at, each in self._recommended if at > now - down] + [desired])
        self._recommended.append((now, desired))
        while self._recommended and self._recommended[0][0] <= now - max(up, down):
            self._recommended.popleft()
        return min(max(current, highest_up), lowest_down)

    def _limited(self, now: float, current: int, desired: int) -> int:
        """Within the policies of the direction, and from `min_replicas` to `max_replicas`."""
        if desired > current:
            most = max(current, self._reach(now, current, self.settings.up, 1))
            desired = min(desired, most)
        elif desired < current:
            least = min(current, self._reach(now, current, self.settings.down, -1))
            desired = max(desired, least)
        return max(self.settings.min_replicas, min(self.settings.max_replicas, desired))

    def _reach(self, now: float, current: int, rules: Rules, direction: Literal[1, -1]) -> int:
        """How far the policies let the number go from here, upwards or downwards."""
        if rules.select == "Disabled":
            return current
        reaches = []
        for policy in rules.policies:
            # From the number at the start of the policy's period.
            start = current - sum(change for at, change in self._changes if at > now - policy.period_s)
            if policy.type == "Pods":
                reaches.append(start + direction * policy.value)
            elif direction == 1:
                reaches.append(_ceil(start * (100 + policy.value) / 100))
            else:
                reaches.append(start * (100 - policy.value) // 100)
        if not reaches:
            return self.settings.max_replicas if direction == 1 else self.settings.min_replicas
        farthest = (rules.select == "Max") == (direction == 1)
        return max(reaches) if farthest else min(reaches)


def _ceil(value: float) -> int:
    # 0.7 / 0.1 is a little more than 7, and Kubernetes computes in whole thousandths.
    return math.ceil(round(value, 6))
