from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import pytest
import yaml

from tests.deploy.cases import CASES
from tests.deploy.charts import (
    CHART,
    HELMS,
    NAME,
    NAMESPACE,
    Object,
    Refused,
    Release,
    helm,
    merged,
    render,
    set_at,
)
from tests.deploy.cluster import cluster

_SCALED: Object = {
    "ranker": {"autoscaling": {"enabled": True}},
    "embedder": {"autoscaling": {"enabled": True}},
    "vectorsearch": {"autoscaling": {"enabled": True}},
}
_GENERATION = set_at("jobs.generation.enabled", True)


def _upgraded(running: Collection[Object], values: Mapping[str, Any], *, with_helm: str = "helm4") -> Release:
    """What an upgrade to these values makes of objects that run; Refused where Helm does not take it."""
    known = {
        (each["apiVersion"], each["kind"])
        for case in ({}, CASES["everything"])
        for each in render(case).objects
    }
    with cluster(running, known) as address:
        printed = helm(
            with_helm,
            "template", NAME, str(CHART), "--namespace", NAMESPACE, "--is-upgrade", "--dry-run=server",
            "--disable-openapi-validation", "--kube-apiserver", address,
            values=values,
        )  # fmt: skip
    return Release(tuple(each for each in yaml.load_all(printed, yaml.CSafeLoader) if each))


def _running(values: Mapping[str, Any]) -> list[Object]:
    """An installation as it runs when all is quiet."""
    objects = [copy.deepcopy(each) for each in render(values).objects]
    for each in objects:
        if each["kind"] == "Deployment":
            count = each["spec"].setdefault("replicas", 1)
            each["status"] = {"replicas": count, "updatedReplicas": count}
    return objects


def _one(objects: Collection[Object], name: str) -> Object:
    return next(
        each
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet"}
        and each["metadata"]["name"] == f"{NAME}-vitrine-{name}"
    )


@pytest.mark.parametrize("with_helm", HELMS)
def test_switching_autoscaling_on_takes_no_pod_away(with_helm: str) -> None:
    """The number that runs stays in the manifest, since Kubernetes reads one that is taken out as one pod."""
    running = _running({})
    numbers = {"ranker": 3, "embedder-cpu": 5, "vectorsearch-a-0": 4}
    for name, number in numbers.items():
        _one(running, name)["spec"]["replicas"] = number
    after = _upgraded(running, _SCALED, with_helm=with_helm)
    assert {name: _one(after.objects, name)["spec"]["replicas"] for name in numbers} == numbers


def test_an_autoscaler_begins_where_nothing_runs() -> None:
    """At a first installation, and where charts are rendered without a cluster, no number is said."""
    for release in (_upgraded([], _SCALED), render(_SCALED)):
        for name in ("ranker", "embedder-cpu", "vectorsearch-a-0"):
            assert "replicas" not in _one(release.objects, name)["spec"]
        assert _one(release.objects, "gateway")["spec"]["replicas"] == 1


def test_without_an_autoscaler_the_values_say_how_many() -> None:
    """What runs does not count where the number is the user's."""
    running = _running({})
    _one(running, "ranker")["spec"]["replicas"] = 3
    after = _upgraded(running, {"ranker": {"replicaCount": 2}})
    assert _one(after.objects, "ranker")["spec"]["replicas"] == 2


def test_a_set_never_changes_its_number_of_shards() -> None:
    """Rows lie by that number, so another one is refused with what to do instead."""
    with pytest.raises(Refused, match="add another set"):
        _upgraded(_running({}), set_at("vectorsearch.sets.a.shards", 2))


@pytest.mark.parametrize("with_helm", HELMS)
@pytest.mark.parametrize(
    "values",
    [
        set_at("models.image.tag", "new"),
        set_at("models.existingClaim", "new"),
        # Heads of a claim may be the image's.
        set_at("embedder.image.tag", "new"),
    ],
)
def test_a_generation_is_not_asked_of_old_embedders(values: Object, with_helm: str) -> None:
    """The job would find nothing to do beside embedders that are yet to be replaced, and never run again."""
    with pytest.raises(Refused, match=r"jobs\.generation\.enabled.*two upgrades"):
        _upgraded(_running({}), merged(values, _GENERATION), with_helm=with_helm)
    assert list(_upgraded(_running(values), merged(values, _GENERATION), with_helm=with_helm).of("Job"))


def test_a_generation_waits_for_the_last_embedder() -> None:
    """While some embedders are still the old ones the job is refused too, unless it is there already."""
    running = _running({})
    _one(running, "embedder-cpu")["status"] = {"replicas": 2, "updatedReplicas": 1}
    with pytest.raises(Refused, match="still being replaced"):
        _upgraded(running, _GENERATION)
    (job,) = render(_GENERATION).of("Job")
    after = _upgraded([*running, job], _GENERATION)
    assert [each["metadata"]["name"] for each in after.of("Job")] == [job["metadata"]["name"]]


def test_other_models_are_another_generation() -> None:
    """Another image of models, another claim or another embedder is another job, and nothing else is."""

    def name(values: Object) -> str:
        (job,) = render(merged(values, _GENERATION)).of("Job")
        return str(job["metadata"]["name"])

    changes = [
        {},
        set_at("models.image.tag", "new"),
        set_at("models.image.digest", "sha256:" + "0" * 64),
        set_at("models.existingClaim", "new"),
        set_at("embedder.image.tag", "new"),
    ]
    assert len({name(change) for change in changes}) == len(changes)
    assert name({}) == name(set_at("embedder.replicaCount", 3))
