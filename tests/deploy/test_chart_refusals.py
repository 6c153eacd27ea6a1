from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.deploy.charts import CHART, Object, Refused, helm, merged, render, set_at
from tests.deploy.conftest import Counts

# A path and what is wrong with it. Keys of the last ones are no keys at all.
WRONG: list[tuple[str, object]] = [
    # Keys that are spelt in another way than ours.
    ("gatway", {"replicaCount": 2}),
    ("gateway.replicas", 2),
    ("gateway.replicacount", 2),
    ("gateway.image.pullpolicy", "Always"),
    ("gateway.image.name", "vitrine/gateway"),
    ("gateway.resources.request", {"cpu": "1"}),
    ("gateway.readinessProbe.path", "/healthz"),
    ("gateway.readinessProbe.terminationGracePeriodSeconds", 60),
    ("gateway.livenessProbe.successThreshold", 2),
    ("vectorsearch.startupProbe.successThreshold", 2),
    ("gateway.service.nodePort", 30000),
    ("feed.persistence", {"enabled": True}),
    ("ranker.autoscaling.max", 4),
    ("embedder.classes.cpu.enable", True),
    ("embedder.classes.cuda.gpu", 1),
    ("vectorsearch.sets.a.shardCount", 2),
    ("vectorsearch.shards", 2),
    ("store.uri", "mongodb://db/vitrine"),
    ("cache.existingsecret", "redis"),
    ("tls.certManager.issuer", "mesh"),
    ("metrics.serviceMonitor.enable", True),
    ("networkPolicy.enable", True),
    ("ingress.hosts", ["shop.example.com"]),
    ("jobs.export", {"enabled": True}),
    ("global.storageclass", "fast"),
    # Of another kind.
    ("gateway.replicaCount", "two"),
    ("feed.enabled", "yes"),
    ("gateway.podLabels", {"team": 7}),
    ("gateway.tolerations", {"key": "gpu"}),
    ("gateway.extraEnvVars", {"NAME": "value"}),
    ("gateway.nodeSelector", ["gpu"]),
    ("networkPolicy.dns.ports", [53, "dns"]),
    ("global.imagePullSecrets", [{"secret": "pull"}]),
    ("ingress.tls", {"secretName": "tls"}),
    ("vectorsearch.sets", ["a", "b"]),
    # Out of range, or of another form.
    ("gateway.replicaCount", -1),
    ("gateway.preStopSeconds", 0),
    ("ranker.drainSeconds", 601),
    ("gateway.livenessProbe.periodSeconds", 0),
    ("embedder.autoscaling.minReplicas", 0),
    ("ranker.autoscaling.targetCPU", 101),
    ("vectorsearch.sets.a.shards", 0),
    ("vectorsearch.sets.a.shards", 65),
    ("vectorsearch.sets.a.replicas", 9),
    ("vectorsearch.autoscaling.maxReplicas", 9),
    ("vectorsearch.sets.a.autoscaling.maxReplicas", 9),
    ("vectorsearch.sets", {"blue-green-1": {"shards": 1, "replicas": 1}}),
    ("vectorsearch.persistence.size", "ten gigabytes"),
    ("gateway.resources.limits.memory", "2 GB"),
    ("gateway.pdb.maxUnavailable", "120%"),
    ("gateway.image.digest", "sha256:abc"),
    ("gateway.image.tag", "no tag"),
    ("gateway.image.repository", "Vitrine/Gateway:1"),
    ("gateway.updateStrategy.rollingUpdate.maxSurge", ""),
    ("gateway.updateStrategy.rollingUpdate.partition", 1),
    ("vectorsearch.updateStrategy.rollingUpdate.maxSurge", 1),
    ("gateway.autoscaling.targetCPU", "80%"),
    ("fullnameOverride", "1shop"),
    ("fullnameOverride", "shop.prod"),
    ("nameOverride", "shop.prod"),
    ("nameOverride", "shop-"),
    ("access.adminKeyHash", "secret"),
    ("store.existingSecret", "My Secret"),
    ("tracing.endpoint", "collector:4317"),
    ("tracing.sampleRatio", 1.5),
    ("metrics.serviceMonitor.interval", "15"),
    ("networkPolicy.pictures.extraExcept", ["10.0.0.0"]),
    ("networkPolicy.dns.ports", []),
    ("jobs.snapshot.schedule", "daily"),
    # Not one of the words.
    ("access.mode", "key"),
    ("gateway.image.pullPolicy", "Sometimes"),
    ("gateway.service.type", "Headless"),
    ("gateway.persistence.accessModes", ["ReadWrite"]),
    ("gateway.updateStrategy.type", "BlueGreen"),
    ("gateway.updateStrategy.type", "OnDelete"),
    ("vectorsearch.updateStrategy.type", "Recreate"),
    ("embedder.device", "gpu"),
    ("listenAddress", "localhost"),
    ("ingress.pathType", "Regex"),
    ("tls.certManager.issuerRef.kind", "Authority"),
    # Settings of the services.
    ("gateway.settings.shard_timeout", 2),
    ("gateway.settings.shard_timeout_s", 0),
    ("gateway.settings.shard_timeout_s", "2s"),
    ("gateway.settings.cors_origins", "https://shop.example"),
    ("gateway.settings.store_url", "mongodb://db/vitrine"),
    ("gateway.settings.max_inflight", 1.5),
    ("feed.settings.feed_poll_s", 11),
    ("embedder.settings.dtype", "float16"),
    ("embedder.settings.max_batch_images", 4096),
    ("embedder.classes.cuda.settings.decode_threads", 0),
    ("ranker.settings.log_level", "LOUD"),
    ("ranker.settings.drain_s", 5),
    ("vectorsearch.settings.shards", 4),
    ("vectorsearch.settings.near_duplicate_cosine", 0.9),
    ("vectorsearch.sets.a.settings.search_threads", 0),
]


def _complaint(values: Object, *, with_helm: str = "helm4") -> str:
    """What Helm says of values that it does not take."""
    with pytest.raises(Refused) as refused:
        helm(with_helm, "template", "demo", str(CHART), values=values)
    return str(refused.value)


@pytest.fixture(scope="module")
def complaints() -> Iterator[list[str]]:
    """What Helm says of each."""
    with ThreadPoolExecutor(2) as pool:
        yield list(pool.map(lambda wrong: _complaint(set_at(*wrong)), WRONG))


def _is_named(path: str, complaint: str) -> bool:
    """Whether a complaint is about the value at a path: its key and the first one stand in a line."""
    parts = path.split(".")
    return any(parts[-1] in line and parts[0] in line for line in complaint.splitlines())


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{path}={value}" for path, value in WRONG])
def test_wrong_values_are_refused_by_name(number: int, complaints: list[str], counts: Counts) -> None:
    """`helm` refuses each, and names the key."""
    assert "don't meet the specifications of the schema" in complaints[number]
    assert _is_named(WRONG[number][0], complaints[number]), complaints[number]
    counts.add("refusals")


@pytest.mark.parametrize("name", ["helm3", "helm4"])
def test_several_wrong_values_are_told_at_once(name: str) -> None:
    """Who has made many mistakes sees them in one answer of either Helm."""
    values: Object = {}
    together = dict(WRONG)
    # What hides others below it is left out.
    del together["vectorsearch.sets"]
    for path, value in together.items():
        values = merged(values, set_at(path, value))
    complaint = _complaint(values, with_helm=name)
    assert [path for path in together if not _is_named(path, complaint)] == []


CONTRADICTIONS: dict[str, tuple[dict[str, object], str]] = {
    "gateways without a store": ({"gateway.replicaCount": 2}, "gateway.replicaCount"),
    "autoscaled gateways without a store": (
        {"gateway.autoscaling.enabled": True},
        "gateway.autoscaling.enabled",
    ),
    "a feed without a store": ({"feed.enabled": True}, "feed.enabled"),
    "no such set": ({"vectorsearch.current": "z"}, "vectorsearch.current"),
    "no such next set": ({"vectorsearch.next": "z"}, "vectorsearch.next"),
    "the next set is the present one": ({"vectorsearch.next": "a"}, "vectorsearch.next"),
    "no embedders": ({"embedder.classes.cpu.enabled": False}, "embedder.classes"),
    "parts of cores": ({"embedder.resources.limits.cpu": "1500m"}, "resources.limits.cpu"),
    "a drain under the deadline": ({"gateway.drainSeconds": 60}, "drainSeconds"),
    "a deadline over the drain": ({"gateway.settings.write_timeout_s": 300}, "write_timeout_s"),
    "autoscaling without metrics": (
        {"metrics.enabled": False, "vectorsearch.autoscaling.enabled": True},
        "metrics.enabled",
    ),
    "monitors without metrics": (
        {"metrics.enabled": False, "metrics.serviceMonitor.enabled": True},
        "metrics.serviceMonitor.enabled",
    ),
    "rules without metrics": (
        {"metrics.enabled": False, "metrics.prometheusRule.enabled": True},
        "metrics.prometheusRule.enabled",
    ),
    "dashboards without metrics": (
        {"metrics.enabled": False, "metrics.dashboards.enabled": True},
        "metrics.dashboards.enabled",
    ),
    "rules of an adapter without metrics": (
        {"metrics.enabled": False, "metrics.adapterRules.enabled": True},
        "metrics.adapterRules.enabled",
    ),
    "an ingress that nothing lets in": (
        {"ingress.enabled": True, "networkPolicy.allowExternal": False},
        "networkPolicy.ingressNSMatchLabels",
    ),
    "an ingress of gRPC that nothing lets in": (
        {"ingress.grpc.enabled": True, "networkPolicy.allowExternal": False},
        "networkPolicy.ingressNSMatchLabels",
    ),
    "no pod may go and none may come": (
        {"ranker.updateStrategy.rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        "updateStrategy.rollingUpdate",
    ),
    "a catalogue that the pod has no room for": (
        {"gateway.persistence.enabled": False},
        "resources.limits.ephemeral-storage",
    ),
    "snapshots that the pod has no room for": (
        {"vectorsearch.sets.a.persistence": {"enabled": False, "size": "1100M"}},
        "resources.limits.ephemeral-storage",
    ),
    "more at least than at most": (
        {"ranker.autoscaling": {"enabled": True, "minReplicas": 9}},
        "autoscaling.minReplicas",
    ),
    "two budgets in one": ({"ranker.pdb": {"minAvailable": 1, "maxUnavailable": 1}}, "pdb.minAvailable"),
    "keys without a key of shards": ({"access.mode": "keys"}, "access.feedKey"),
    "tokens for anybody": (
        {
            "access.mode": "keys",
            "access.feedKey": "vk_example",
            "access.jwt.existingConfigMap": "jwks",
        },
        "access.jwt.issuer",
    ),
    "a key that nobody asks for": ({"access.feedKey": "vk_example"}, "access.mode"),
    "two sources of certificates": (
        {"tls.enabled": True, "tls.existingSecret": "tls", "tls.certManager.enabled": True},
        "tls.existingSecret",
    ),
    "no source of certificates": ({"tls.enabled": True}, "tls.enabled"),
    "no issuer": ({"tls.enabled": True, "tls.certManager.enabled": True}, "issuerRef.name"),
    "certificates in plain text": ({"tls.existingSecret": "tls"}, "tls.enabled"),
    "authorities of no certificate": (
        {
            "tracing.enabled": True,
            "tracing.endpoint": "http://collector:4317",
            "tracing.ca.existingConfigMap": "authorities",
        },
        "tracing.ca.existingConfigMap",
    ),
    "traces to nowhere": ({"tracing.enabled": True}, "tracing.endpoint"),
    "older models on a claim": ({"models.existingClaim": "m", "models.previous.tag": "1"}, "models.previous"),
    "an import of nothing": ({"jobs.import.enabled": True}, "jobs.import"),
    "an import of two things": (
        {
            "jobs.import": {"enabled": True, "existingClaim": "a", "existingConfigMap": "b"},
        },
        "jobs.import",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused(name: str, counts: Counts) -> None:
    """What cannot be together is refused with the keys and what to do."""
    changes, word = CONTRADICTIONS[name]
    values: Object = {}
    for path, value in changes.items():
        values = merged(values, set_at(path, value))
    with pytest.raises(Refused) as refused:
        render(values)
    assert word in str(refused.value)
    counts.add("refusals")


def test_there_is_a_contradiction_for_each_check() -> None:
    """Whoever adds a check to the chart shows here that it works."""
    checks = sum(
        path.read_text(encoding="utf-8").count("fail ") for path in (CHART / "templates").rglob("*.*")
    )
    # What is compared with what runs is in test_chart_upgrades.py, and a release's name is no value.
    assert checks <= len(CONTRADICTIONS) + 3


@pytest.mark.parametrize("name", ["1shop", "shop.prod"])
def test_releases_that_services_cannot_be_named_after_are_refused(name: str) -> None:
    """Helm takes such a name and Services do not; another name for the objects mends it."""
    with pytest.raises(Refused, match="fullnameOverride"):
        helm("helm4", "template", name, str(CHART), values={})
    assert "name: shop-gateway\n" in helm(
        "helm4", "template", name, str(CHART), values={"fullnameOverride": "shop"}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"networkPolicy.extraIngress": [{"from": [{"podSelector": {}}]}]},
        {"networkPolicy.ingressNSPodMatchLabels": {"app": "controller"}},
        {"networkPolicy.enabled": False},
    ],
)
def test_an_ingress_needs_but_one_way_in(changes: dict[str, object]) -> None:
    """Whoever says in any way who may call the gateway is believed."""
    values: Object = {"ingress": {"enabled": True}, "networkPolicy": {"allowExternal": False}}
    for path, value in changes.items():
        values = merged(values, set_at(path, value))
    assert list(render(values).of("Ingress"))


@pytest.mark.parametrize(
    ("size", "limit"), [("2Gi", "2Gi"), ("1.5Gi", "1536Mi"), ("2G", "2Gi"), ("900M", 10**9)]
)
def test_what_fits_into_a_pod_may_lie_there(size: str, limit: object) -> None:
    """Sizes are compared as quantities, whatever their units."""
    lost = set_at("gateway.persistence", {"enabled": False, "size": size})
    assert render(merged(lost, set_at("gateway.resources.limits.ephemeral-storage", limit))).objects
