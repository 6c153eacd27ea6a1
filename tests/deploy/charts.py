"""The chart, rendered by the real Helm into objects of Kubernetes."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import utils

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/vitrine"
EXAMPLES = tuple(sorted(path.stem for path in (CHART / "examples").glob("*.yaml")))
HELMS = ("helm3", "helm4")
NAME, NAMESPACE = "demo", "shop"
# All whose schemas the checker has. Helm is asked for each.
VERSIONS = tuple(utils.major_minor(version) for version in dict.fromkeys(utils.all_versions()))
LATEST = VERSIONS[-1]
# What clusters with an operator of Prometheus and of certificates can do besides.
APIS = ("monitoring.coreos.com/v1", "cert-manager.io/v1")
_TIMEOUT_S = 300.0

Object = dict[str, Any]


class Refused(Exception):
    """Helm does not render these values; the message is what it says."""


@dataclass(frozen=True)
class Pod:
    """A pod template: the object that makes pods of it, its labels and its spec."""

    owner: Object
    labels: Mapping[str, str]
    spec: Object

    @property
    def name(self) -> str:
        """Kind and name of the owner, for messages."""
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def component(self) -> str:
        """What it is of the mesh."""
        return self.labels.get("app.kubernetes.io/component", "")

    @property
    def runs_on(self) -> bool:
        """Whether it is to run until somebody ends it."""
        return self.owner["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}

    @property
    def containers(self) -> list[Object]:
        """Those that do the work."""
        return list(self.spec["containers"])

    @property
    def all_containers(self) -> list[Object]:
        """Those that prepare too."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


@dataclass(frozen=True)
class Release:
    """What one installation consists of. `given` are all texts that the user has written into its values."""

    objects: tuple[Object, ...]
    given: frozenset[str] = frozenset()

    def of(self, *kinds: str) -> Iterator[Object]:
        """The objects of some kinds."""
        return (each for each in self.objects if each["kind"] in kinds)

    def named(self, kind: str, name: str) -> Object | None:
        """One object, if it is there."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    def pods(self) -> Iterator[Pod]:
        """All that ever becomes pods."""
        for owner in self.objects:
            match owner["kind"]:
                case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
                    template = owner["spec"]["template"]
                case "CronJob":
                    template = owner["spec"]["jobTemplate"]["spec"]["template"]
                case "Pod":
                    template = owner
                case _:
                    continue
            yield Pod(owner, template["metadata"].get("labels") or {}, template["spec"])

    def components(self) -> set[str]:
        """The parts of the mesh that have pods."""
        return {pod.component for pod in self.pods()}


def values_of(example: str) -> Object:
    """What an example sets; nothing for `defaults`."""
    if example == "defaults":
        return {}
    loaded: Object = yaml.load((CHART / f"examples/{example}.yaml").read_text(), yaml.CSafeLoader) or {}
    return loaded


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Object:
    """`values` with `changes` over them, map by map, as Helm does it."""
    whole = dict(values)
    for key, change in changes.items():
        old = whole.get(key)
        whole[key] = merged(old, change) if isinstance(old, dict) and isinstance(change, Mapping) else change
    return whole


def set_at(path: str, value: Any) -> Object:
    """The values in which one dotted path is set."""
    first, _, rest = path.partition(".")
    return {first: set_at(rest, value) if rest else value}


def helm(name: str, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
    """What a helm prints; Refused with what it complains of when it fails."""
    ended = subprocess.run(
        [ROOT / ".venv/tools" / name, *arguments, *(["--values", "-"] if values is not None else [])],
        input=None if values is None else json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if ended.returncode:
        raise Refused(ended.stderr + ended.stdout)
    return ended.stdout


def render(
    values: Mapping[str, Any], *, version: str = LATEST, with_helm: str = "helm4", upgrade: bool = False
) -> Release:
    """The objects that an installation with these values has; Refused where Helm does not take them."""
    return _rendered(json.dumps(values, sort_keys=True), version, with_helm, upgrade)


@functools.cache
def _rendered(values: str, version: str, with_helm: str, upgrade: bool) -> Release:
    apis = [word for api in APIS for word in ("--api-versions", api)]
    printed = helm(
        with_helm,
        "template", NAME, str(CHART), "--namespace", NAMESPACE, "--kube-version", version, *apis,
        *(["--is-upgrade"] if upgrade else []),
        values=json.loads(values),
    )  # fmt: skip
    objects = tuple(each for each in yaml.load_all(printed, yaml.CSafeLoader) if each)
    return Release(objects, frozenset(_texts(json.loads(values))))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from itertools.chain.from_iterable(map(_texts, value.values()))
        case list():
            yield from itertools.chain.from_iterable(map(_texts, value))
