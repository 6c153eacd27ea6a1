from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy import policies
from tests.deploy.cases import CASES
from tests.deploy.charts import Object, Release, merged, render, set_at
from tests.deploy.conftest import Counts
from tests.deploy.policies import POLICIES, Policy

Breach = Callable[[Release], Any]


def _changed() -> Iterator[tuple[str, Object]]:
    """Installations as they are, and with a few values changed that change what is rendered."""
    yield from CASES.items()
    for path, value in (
        ("nameOverride", "a-name-that-is-much-longer-than-what-an-object-of-kubernetes-may-be"),
        ("fullnameOverride", "vitrine-of-the-largest-shop-in-the-whole-country"),
        ("metrics.enabled", False),
        ("networkPolicy.enabled", False),
        ("models.existingClaim", "models"),
        ("gateway.persistence.existingClaim", "catalogue"),
        ("gateway.persistence", {"enabled": False, "size": "2Gi"}),
        ("vectorsearch.persistence", {"enabled": False, "size": "512Mi"}),
        ("gateway.preStopSeconds", 60),
        ("ranker.drainSeconds", 600),
        ("embedder.classes.cpu", {"preStopSeconds": 30, "drainSeconds": 300}),
        ("vectorsearch.sets.a.preStopSeconds", 45),
        ("vectorsearch.updateStrategy", {"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
        ("embedder.updateStrategy.rollingUpdate", {"maxSurge": "25%", "maxUnavailable": 0}),
        ("gateway.serviceAccount", {"create": False, "name": "somebody"}),
        ("vectorsearch.serviceAccount.name", "shards"),
        ("gateway.image.digest", "sha256:" + "0" * 64),
        ("gateway.service.type", "LoadBalancer"),
    ):
        yield f"defaults with {path}", set_at(path, value)


CHANGED = dict(_changed())


@pytest.mark.parametrize("case", CHANGED)
def test_every_policy_holds(case: str, counts: Counts) -> None:
    """No object of any installation breaks a policy."""
    release = render(CHANGED[case])
    counts.add("objects", len(release.objects))
    counts.most("policies", len(POLICIES))
    assert [f"{policy.__name__}: {breach}" for policy in POLICIES for breach in policy(release)] == []


@pytest.fixture(scope="module")
def everything() -> Release:
    return render(CASES["everything"])


def _pod(release: Release, component: str = "gateway") -> Object:
    return next(pod for pod in release.pods() if pod.component == component).spec


def _first(release: Release, component: str = "gateway") -> Object:
    first: Object = _pod(release, component)["containers"][0]
    return first


def _owner(release: Release, component: str = "gateway") -> Object:
    return next(pod for pod in release.pods() if pod.component == component).owner


def _one(release: Release, kind: str, *, ending: str = "") -> Object:
    return next(each for each in release.of(kind) if each["metadata"]["name"].endswith(ending))


def _set(place: Object, key: str, value: Any) -> Object:
    place[key] = value
    return place


# What is broken, the policy that must say so, and a word of what it says.
BREACHES: dict[str, tuple[Policy, str, Breach]] = {
    "host network": (
        policies.restricted_pods, "hostNetwork", lambda r: _set(_pod(r), "hostNetwork", True)),
    "path of the host": (
        policies.restricted_pods, "hostPath",
        lambda r: _pod(r)["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
    "unsafe sysctl": (
        policies.restricted_pods, "kernel.msgmax",
        lambda r: _set(_pod(r)["securityContext"], "sysctls", [{"name": "kernel.msgmax", "value": "1"}])),
    "privileged": (
        policies.restricted_pods, "privileged",
        lambda r: _set(_first(r)["securityContext"], "privileged", True)),
    "escalation": (
        policies.restricted_pods, "allowPrivilegeEscalation",
        lambda r: _first(r)["securityContext"].pop("allowPrivilegeEscalation")),
    "capabilities kept": (
        policies.restricted_pods, "not dropped", lambda r: _first(r)["securityContext"].pop("capabilities")),
    "capability added": (
        policies.restricted_pods, "are added",
        lambda r: _set(_first(r)["securityContext"]["capabilities"], "add", ["SYS_ADMIN"])),
    "root": (
        policies.restricted_pods, "is root", lambda r: _set(_first(r)["securityContext"], "runAsUser", 0)),
    "maybe root": (
        policies.restricted_pods, "runAsNonRoot",
        lambda r: _set(_first(r)["securityContext"], "runAsNonRoot", False)),
    "system calls": (
        policies.restricted_pods, "seccompProfile",
        lambda r: _set(_first(r)["securityContext"], "seccompProfile", {"type": "Unconfined"})),
    "writable image": (
        policies.restricted_pods, "readOnlyRootFilesystem",
        lambda r: _set(_first(r)["securityContext"], "readOnlyRootFilesystem", False)),
    "port of the host": (
        policies.restricted_pods, "hostPort", lambda r: _set(_first(r)["ports"][0], "hostPort", 80)),
    "an init container as root": (
        policies.restricted_pods, "embedder",
        lambda r: _set(_pod(r, "embedder")["initContainers"][0]["securityContext"], "runAsUser", 0)),
    "no memory limit": (
        policies.resources, "limit of memory", lambda r: _first(r)["resources"]["limits"].pop("memory")),
    "no resources in a job": (
        policies.resources, "snapshot", lambda r: _first(r, "snapshot").pop("resources")),
    "request over limit": (
        policies.resources, "more memory",
        lambda r: _set(_first(r)["resources"]["requests"], "memory", "999Gi")),
    "no readiness": (policies.probes, "readinessProbe", lambda r: _first(r).pop("readinessProbe")),
    "liveness by command": (
        policies.probes, "livenessProbe is none",
        lambda r: _set(_first(r), "livenessProbe", {"exec": {"command": ["true"]}})),
    "probe of the port of calls": (
        policies.probes, "50051", lambda r: _set(_first(r)["readinessProbe"]["grpc"], "port", 50051)),
    "probe of another service": (
        policies.probes, "FeedService",
        lambda r: _set(_first(r)["readinessProbe"]["grpc"], "service", "vitrine.v1.FeedService")),
    "latest": (policies.images, "latest", lambda r: _set(_first(r), "image", "vitrine/gateway:latest")),
    "no tag": (
        policies.images, "no tag", lambda r: _set(_first(r), "image", "registry:5000/vitrine/gateway")),
    "no image": (policies.images, "is no image", lambda r: _set(_first(r), "image", "vitrine/gateway:")),
    "token": (
        policies.tokens, "automount", lambda r: _pod(r, "snapshot").pop("automountServiceAccountToken")),
    "token of an account": (
        policies.tokens, "ServiceAccount/",
        lambda r: _one(r, "ServiceAccount").pop("automountServiceAccountToken")),
    "default account": (policies.tokens, "serviceAccountName", lambda r: _pod(r).pop("serviceAccountName")),
    "service links": (policies.tokens, "enableServiceLinks", lambda r: _pod(r).pop("enableServiceLinks")),
    "not spread": (policies.spread, "hostname", lambda r: _pod(r).pop("topologySpreadConstraints")),
    "spread by others": (
        policies.spread, "other pods",
        lambda r: _set(
            _pod(r)["topologySpreadConstraints"][0], "labelSelector", {"matchLabels": {"app": "other"}}
        )),
    "no budget": (
        policies.disruption_budgets, "0 PodDisruptionBudgets",
        lambda r: _set(_one(r, "PodDisruptionBudget")["spec"]["selector"], "matchLabels", {"app": "other"})),
    "budget that blocks": (
        policies.disruption_budgets, "never",
        lambda r: _set(_one(r, "PodDisruptionBudget")["spec"], "minAvailable", "100%")),
    "short grace": (
        policies.grace_periods, "terminationGracePeriodSeconds",
        lambda r: _set(_pod(r), "terminationGracePeriodSeconds", 30)),
    "no wait before the end": (policies.grace_periods, "preStop", lambda r: _first(r).pop("lifecycle")),
    "rollout that takes away": (
        policies.rollouts, "before others",
        lambda r: _set(_owner(r)["spec"]["strategy"]["rollingUpdate"], "maxUnavailable", 1)),
    "rollout that stops all": (
        policies.rollouts, "Recreate", lambda r: _set(_owner(r)["spec"], "strategy", {"type": "Recreate"})),
    "rolling without being rolled": (
        policies.rollouts, "rollingUpdate beside",
        lambda r: _set(_owner(r, "vectorsearch")["spec"]["updateStrategy"], "type", "OnDelete")
        and _set(_owner(r, "vectorsearch")["spec"]["updateStrategy"], "rollingUpdate", {"partition": 1})),
    "replicas beside an autoscaler": (
        policies.autoscalers, "replicas", lambda r: _set(_owner(r)["spec"], "replicas", 3)),
    "autoscaler of nothing": (
        policies.autoscalers, "not there",
        lambda r: _set(_one(r, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"], "name", "nobody")),
    "autoscaler that cannot grow": (
        policies.autoscalers, "over maxReplicas",
        lambda r: _set(_one(r, "HorizontalPodAutoscaler")["spec"], "minReplicas", 99)),
    "service without pods": (
        policies.selectors, "selects no pod",
        lambda r: _set(_one(r, "Service")["spec"]["selector"], "app.kubernetes.io/component", "nobody")),
    "service of a job": (
        policies.selectors, "sends calls",
        lambda r: _set(_one(r, "Service")["spec"]["selector"], "app.kubernetes.io/component", "snapshot")),
    "port that nobody has": (
        policies.selectors, "no port web",
        lambda r: _set(_one(r, "Service")["spec"]["ports"][0], "targetPort", "web")),
    "workload that takes all": (
        policies.selectors, "takes the pods",
        lambda r: _owner(r)["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component")),
    "workload with other labels": (
        policies.selectors, "not what",
        lambda r: _set(_owner(r)["spec"]["selector"]["matchLabels"], "app.kubernetes.io/component", "web")),
    "an object twice": (
        policies.names, "times",
        lambda r: [_set(each["metadata"], "name", "again") for each in r.of("ConfigMap")]),
    "long name": (
        policies.names, "too long", lambda r: _set(_owner(r, "vectorsearch")["metadata"], "name", "x" * 60)),
    "no labels": (policies.names, "no label", lambda r: _one(r, "Secret")["metadata"].pop("labels")),
    "a variable twice": (policies.names, "twice", lambda r: _first(r)["env"].append(_first(r)["env"][0])),
    "secret that is not there": (
        policies.references, "Secret/", lambda r: _set(_one(r, "Secret")["metadata"], "name", "other")),
    "config that is not there": (
        policies.references, "ConfigMap/nothing",
        lambda r: _first(r).setdefault("envFrom", []).append({"configMapRef": {"name": "nothing"}})),
    "account that is not there": (
        policies.references, "ServiceAccount/nobody",
        lambda r: _set(_pod(r), "serviceAccountName", "nobody")),
    "claim that is not there": (
        policies.references, "PersistentVolumeClaim/nil",
        lambda r: _pod(r)["volumes"].append({"name": "x", "persistentVolumeClaim": {"claimName": "nil"}})),
    "ingress to nothing": (
        policies.references, "Ingress/",
        lambda r: _set(
            _one(r, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"], "name", "nobody"
        )),
    "certificate of another name": (
        policies.certificates, "not in the certificate",
        lambda r: [_set(each["spec"], "dnsNames", ["shop.example.com"]) for each in r.of("Certificate")]),
    "address of nobody": (
        policies.certificates, "no Service of ours",
        lambda r: _first(r)["env"].append({"name": "TARGET", "value": "dns:///nobody.shop.svc:50051"})),
    "mount without a volume": (
        policies.volumes, "no volume",
        lambda r: _first(r)["volumeMounts"].append({"name": "nothing", "mountPath": "/nothing"})),
    "volume without a mount": (
        policies.volumes, "nowhere", lambda r: _pod(r)["volumes"].append({"name": "idle", "emptyDir": {}})),
    "two mounts at a place": (
        policies.volumes, "two mounts",
        lambda r: _first(r)["volumeMounts"].append({"name": "extra", "mountPath": "/tmp"})),
    "monitor of nothing": (
        policies.monitors, "selects no Service",
        lambda r: _set(_one(r, "ServiceMonitor")["spec"], "selector", {"matchLabels": {"app": "other"}})),
    "monitor of a port that is not there": (
        policies.monitors, "no port web",
        lambda r: _set(_one(r, "ServiceMonitor")["spec"]["endpoints"][0], "port", "web")),
    "open network": (
        policies.closed_networks, "Egress is open",
        lambda r: [_set(each["spec"], "policyTypes", ["Ingress"]) for each in r.of("NetworkPolicy")]),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_every_breach_is_noticed(breach: str, everything: Release, counts: Counts) -> None:
    """Where one thing is broken, the policy about it says what."""
    policy, word, break_it = BREACHES[breach]
    broken = Release(copy.deepcopy(everything.objects), everything.given)
    break_it(broken)
    told = list(policy(broken))
    assert any(word in line for line in told), told
    counts.add("mutations")


def test_every_policy_is_seen_to_fail() -> None:
    """There is a breach for each policy."""
    assert {policy for policy, _, _ in BREACHES.values()} == set(POLICIES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("vectorsearch.sets.a.replicas", 3),
        ("gateway.image.tag", "9.9.9"),
        ("vectorsearch.settings", {"search_threads": 4}),
        ("vectorsearch.podLabels", {"team": "search"}),
        ("metrics.enabled", False),
        ("vectorsearch.next", "b"),
        ("commonLabels", {"cost-center": "7"}),
    ],
)
def test_upgrades_keep_what_kubernetes_does_not_change(path: str, value: object) -> None:
    """Other values leave names, selectors and claims as they are, or an upgrade would be refused."""
    values: Object = {"vectorsearch": {"sets": {"a": {"shards": 2, "replicas": 2}, "b": {"shards": 3}}}}
    before = render(values)
    after = render(merged(values, set_at(path, value)), upgrade=True)
    assert _fixed(before) == _fixed(after)


def _fixed(release: Release) -> dict[tuple[str, str], object]:
    """What cannot be changed of each workload that is there, and the claims."""
    return {
        (each["kind"], each["metadata"]["name"]): (
            each["spec"].get("selector"),
            each["spec"].get("serviceName"),
            each["spec"].get("volumeClaimTemplates"),
            each["spec"].get("podManagementPolicy"),
        )
        for each in release.of("Deployment", "StatefulSet", "PersistentVolumeClaim")
    }
