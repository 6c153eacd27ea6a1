from __future__ import annotations

import copy
import functools
import json

import kubernetes_validate
import pytest
from kubernetes_validate import utils

from tests.deploy import custom_resources
from tests.deploy.cases import CASES
from tests.deploy.charts import LATEST, VERSIONS, Object, render
from tests.deploy.conftest import Counts


def _is_custom(manifest: Object) -> bool:
    return (manifest["apiVersion"], manifest["kind"]) in custom_resources.KINDS


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(
    version: str, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object is valid by the schema of that release, which knows every field."""
    # For each object it would read all schemas anew, four fifths of the time.
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
    checked: set[str] = set()
    for values in CASES.values():
        for manifest in render(values, version=version).objects:
            counts.add("manifests")
            text = json.dumps(manifest, sort_keys=True)
            # Most objects are the same in several examples.
            if text not in checked and not _is_custom(manifest):
                checked.add(text)
                kubernetes_validate.validate(manifest, version, strict=True)
    assert len(checked) > 50


def test_custom_resources_have_the_fields_of_their_operators() -> None:
    """A monitor, the rules and each certificate have the fields that their operators define."""
    found = [each for each in render(CASES["everything"]).objects if _is_custom(each)]
    assert {(each["apiVersion"], each["kind"]) for each in found} == custom_resources.KINDS
    assert [problem for each in found for problem in custom_resources.problems(each)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServiceMonitor", ("spec", "endpoints", 0, "intervall"), "15s"),
        ("ServiceMonitor", ("spec", "selector"), None),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expr"), ""),
        ("Certificate", ("spec", "issuerRef", "kind"), "Authority"),
        ("Certificate", ("spec", "dnsNames"), []),
    ],
)
def test_wrong_custom_resources_are_noticed(kind: str, path: tuple[str | int, ...], value: object) -> None:
    """A field that no operator knows, or a value that it would refuse, is told with its place."""
    wrong = copy.deepcopy(next(render(CASES["everything"]).of(kind)))
    place = wrong
    for part in path[:-1]:
        place = place[part]  # type: ignore[index]  # a path leads through maps and lists alike
    place[path[-1]] = value  # type: ignore[index]  # as above
    assert custom_resources.problems(wrong) != []


def test_wrong_manifests_are_noticed() -> None:
    """A field that Kubernetes does not know is refused, so the check above can fail."""
    wrong = copy.deepcopy(next(render({}).of("Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, LATEST, strict=True)
