"""A real Prometheus on loopback, which scrapes a mesh with the labels that it has on Kubernetes."""

from __future__ import annotations

import json
import math
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.meshes import LiveMesh, eventually, free_targets

NAMESPACE = "shop"
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Sample:
    """One series and its value now."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"

    def query(self, expr: str) -> list[Sample]:
        """What an expression comes to now, without what is not a number."""
        result = self._get("query", query=expr)["result"]
        samples = [Sample(each["metric"], float(each["value"][1])) for each in result]
        return [sample for sample in samples if not math.isnan(sample.value)]

    def query_range(
        self, expr: str, *, until: float, last_s: float, step_s: float
    ) -> list[tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """The labels of each series and its (time, value) pairs in the `last_s` before `until`."""
        result = self._get("query_range", query=expr, start=until - last_s, end=until, step=step_s)["result"]
        return [(each["metric"], [(at, float(value)) for at, value in each["values"]]) for each in result]

    def metadata_labels(self, name: str) -> set[str]:
        """The names of the labels that any series of a metric has."""
        found: set[str] = set()
        for series in self._get("series", **{"match[]": name}):
            found |= series.keys()
        return found - {"__name__"}

    def targets(self) -> list[str]:
        """The health of everything that is scraped: `up`, `down` or `unknown`."""
        return [target["health"] for target in self._get("targets")["activeTargets"]]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health and the alerts that are active."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def active(self, alert: str, state: str = "") -> list[dict[str, Any]]:
        """The active alerts of a name, `pending` or `firing`, or those in one of these states."""
        found = [each for rule in self.rules() if rule["name"] == alert for each in rule["alerts"]]
        return [each for each in found if state in ("", each["state"])]

    def _get(self, what: str, **parameters: object) -> Any:
        address = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=_TIMEOUT_S):
                return True
        except OSError:
            return False


@dataclass(frozen=True)
class Target:
    """A process to scrape: its address, and the labels that a ServiceMonitor gives it."""

    address: str
    labels: Mapping[str, str]


def targets_of(mesh: LiveMesh) -> list[Target]:
    """Everything in a mesh that `vitrine up` has started."""
    found = []
    for name in mesh.layout.addresses:
        component, _, shard = name.partition("-")
        labels = {"namespace": NAMESPACE, "pod": name, "component": component}
        if shard:
            labels |= {"set": "a", "shard": shard}
        found.append(Target(urllib.parse.urlsplit(mesh.layout.metrics_url(name)).netloc, labels))
    return found


@contextmanager
def prometheus(
    directory: Path, targets: Sequence[Target], rules: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Prometheus]:
    """One that scrapes `targets` every second and evaluates these documents of rules as they say."""
    directory.mkdir()
    files = []
    for number, document in enumerate(rules):
        file = directory / f"rules-{number}.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        files.append(file.name)
    scrape = {
        "job_name": "vitrine",
        "static_configs": [
            {"targets": [target.address], "labels": dict(target.labels)} for target in targets
        ],
    }
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": files,
        "scrape_configs": [scrape],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (address,) = free_targets(1)
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            running = Prometheus(address)

            def ready() -> bool:
                assert process.poll() is None, (directory / "log").read_text(encoding="utf-8")
                return running.is_ready()

            eventually(ready, what="Prometheus is ready")
            yield running
        finally:
            process.kill()
