"""What every rendered installation must hold, as functions that tell each breach in a line.

The pod security standard is Kubernetes' own, `restricted`:
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FileDescriptor

from scripts.chart_settings import SERVICES
from tests.deploy.charts import NAMESPACE, Object, Pod, Release
from tests.deploy.containers import load, main_container
from vitrine.v1 import catalog_pb2, embedder_pb2, ranker_pb2, search_pb2, vectorsearch_pb2

Policy = Callable[[Release], Iterator[str]]

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret",
}  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_syncookies",
}
_IMAGE = re.compile(
    r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9._/-]+(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_NAME = re.compile(r"[a-z]([a-z0-9.-]{0,251}[a-z0-9])?")
# A label, which names of Services, and of what pods are named after, must be.
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_WORKLOADS = frozenset({"CronJob", "DaemonSet", "Deployment", "Job", "Pod", "StatefulSet"})
# StatefulSets add an ordinal to the name, and the controller a hash of ten characters, within 63.
_STATEFULSET_CHARACTERS = 52
_COMPONENT = "app.kubernetes.io/component"
_RECOMMENDED = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)
# What the kubelet asks for to decide whether a pod gets traffic, by component.
_READY: dict[str, tuple[FileDescriptor, str]] = {
    "gateway": (search_pb2.DESCRIPTOR, "SearchService"),
    "feed": (catalog_pb2.DESCRIPTOR, "FeedService"),
    "embedder": (embedder_pb2.DESCRIPTOR, "EmbedderService"),
    "ranker": (ranker_pb2.DESCRIPTOR, "RankerService"),
    "vectorsearch": (vectorsearch_pb2.DESCRIPTOR, "VectorSearchService"),
}
_LIVE = "liveness"


def restricted_pods(release: Release) -> Iterator[str]:
    """Every pod keeps to the standard, and no container can write to its image."""
    for pod in release.pods():
        spec = pod.spec
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield f"{pod.name}: {field}"
        for volume in spec.get("volumes", ()):
            for kind in volume.keys() - {"name"} - _VOLUMES:
                yield f"{pod.name}: volume {volume['name']} is of {kind}"
        whole = spec.get("securityContext") or {}
        for sysctl in whole.get("sysctls", ()):
            if sysctl["name"] not in _SYSCTLS:
                yield f"{pod.name}: sysctl {sysctl['name']}"
        for container in pod.all_containers:
            for breach in _unrestricted(container, whole):
                yield f"{pod.name}: container {container['name']}: {breach}"


def _unrestricted(container: Object, whole: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    both = {**whole, **own}
    capabilities = own.get("capabilities") or {}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if own.get("privileged"):
        yield "privileged"
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser", 1) == 0:
        yield "runAsUser is root"
    if (both.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    options = both.get("seLinuxOptions") or {}
    if options.keys() & {"user", "role"} or options.get("type", "") not in {
        "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
    }:  # fmt: skip
        yield "seLinuxOptions"
    if (both.get("appArmorProfile") or {"type": "RuntimeDefault"})["type"] == "Unconfined":
        yield "appArmorProfile"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
    if (both.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"


def resources(release: Release) -> Iterator[str]:
    """Every container says what it needs, and has a limit of memory; a GPU is asked for as it is limited."""
    for pod in release.pods():
        for container in pod.all_containers:
            given = container.get("resources") or {}
            requests, limits = given.get("requests") or {}, given.get("limits") or {}
            for kind, amounts, names in (
                ("request", requests, ("cpu", "memory")),
                ("limit", limits, ("memory",)),
            ):
                for name in names:
                    if name not in amounts:
                        yield f"{pod.name}: container {container['name']}: no {kind} of {name}"
            for name, amount in limits.items():
                if name in requests and _quantity(requests[name]) > _quantity(amount):
                    yield f"{pod.name}: container {container['name']}: requests more {name} than the limit"


_UNITS = {"m": 1e-3, "": 1.0} | {
    unit + i: (1024.0 if i else 1000.0) ** power
    for power, unit in enumerate("kMGTPE", start=1)
    for i in ("", "i")
}
_UNITS["Ki"] = 1024.0


def _quantity(text: object) -> float:
    """What Kubernetes reads in `250m` or `1.5Gi`."""
    parts = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert parts is not None, text
    return float(parts[1]) * _UNITS[parts[2]]


def probes(release: Release) -> Iterator[str]:
    """What is to run for long is asked over native gRPC whether it has started, is ready and lives."""
    for pod in release.pods():
        if not pod.runs_on:
            continue
        container = main_container(pod)
        health = {port["containerPort"] for port in container.get("ports", ()) if port["name"] == "health"}
        descriptor, name = _READY[pod.component]
        ready = descriptor.services_by_name[name].full_name
        for probe, service in (("startupProbe", _LIVE), ("readinessProbe", ready), ("livenessProbe", _LIVE)):
            asked = (container.get(probe) or {}).get("grpc")
            if asked is None:
                yield f"{pod.name}: {probe} is none of gRPC"
            elif asked["port"] not in health:
                yield f"{pod.name}: {probe} asks port {asked['port']}, which is not the port of health"
            elif asked.get("service") != service:
                yield f"{pod.name}: {probe} asks for {asked.get('service')!r}, not {service}"


def images(release: Release) -> Iterator[str]:
    """Every image has a tag that says which release it is, or a digest."""
    for pod in release.pods():
        for container in pod.all_containers:
            named = _IMAGE.fullmatch(container["image"])
            if named is None:
                yield f"{pod.name}: {container['image']!r} is no image"
            elif not named["tag"] and not named["digest"]:
                yield f"{pod.name}: image {container['image']} has no tag"
            elif named["tag"] == "latest":
                yield f"{pod.name}: image {container['image']} is whatever is latest"


def tokens(release: Release) -> Iterator[str]:
    """No pod gets a token or variables from Kubernetes, and none runs as the namespace's default account."""
    for pod in release.pods():
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: automountServiceAccountToken"
        if pod.spec.get("serviceAccountName", "default") == "default":
            yield f"{pod.name}: serviceAccountName"
        # Else a Service named vitrine-gateway is a variable VITRINE_GATEWAY_PORT, which is a setting of ours.
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks"
    for account in release.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{account['metadata']['name']}: automountServiceAccountToken"


def spread(release: Release) -> Iterator[str]:
    """Replicas are spread over nodes and zones, among themselves."""
    for pod in release.pods():
        if not pod.runs_on:
            continue
        constraints = pod.spec.get("topologySpreadConstraints", ())
        keys = {constraint["topologyKey"] for constraint in constraints}
        for key in {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} - keys:
            yield f"{pod.name}: topologySpreadConstraints has none over {key}"
        for constraint in constraints:
            if not selects(constraint.get("labelSelector"), pod.labels):
                yield f"{pod.name}: topologySpreadConstraints counts other pods"


def disruption_budgets(release: Release) -> Iterator[str]:
    """What has several replicas has one budget, which leaves some running and lets one go."""
    pods = [pod for pod in release.pods() if pod.runs_on]
    for pod in pods:
        budgets = [
            each
            for each in release.of("PodDisruptionBudget")
            if selects(each["spec"]["selector"], pod.labels)
        ]
        least = _least_replicas(pod, release)
        if least > 1 and len(budgets) != 1:
            yield f"{pod.name}: has {len(budgets)} PodDisruptionBudgets"
        for budget in budgets:
            spec = budget["spec"]
            kept, gone = spec.get("minAvailable"), spec.get("maxUnavailable")
            if (kept is None) == (gone is None):
                yield f"{pod.name}: its PodDisruptionBudget says not one of minAvailable and maxUnavailable"
            elif gone in (0, "0%") or kept == "100%" or (isinstance(kept, int) and kept >= least):
                yield f"{pod.name}: its PodDisruptionBudget never lets a node be drained"
    for budget in release.of("PodDisruptionBudget"):
        if not any(selects(budget["spec"]["selector"], pod.labels) for pod in pods):
            yield f"PodDisruptionBudget/{budget['metadata']['name']}: selects no pod"


def _least_replicas(pod: Pod, release: Release) -> int:
    for scaler in release.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == (pod.owner["kind"], pod.owner["metadata"]["name"]):
            return int(scaler["spec"].get("minReplicas", 1))
    return int(pod.owner["spec"].get("replicas", 1))


def grace_periods(release: Release) -> Iterator[str]:
    """A pod has the time to be left by traffic and to end the calls in hand before it is killed."""
    for pod in release.pods():
        if not pod.runs_on or pod.component not in SERVICES:
            continue
        container = main_container(pod)
        wait_s = _slept_s(container.get("lifecycle", {}).get("preStop", {}))
        if not wait_s:
            yield f"{pod.name}: no preStop sleep"
            continue
        settings = load(pod, release)
        longest_s = wait_s + settings.drain_s
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= longest_s:
            yield f"{pod.name}: terminationGracePeriodSeconds is not over {longest_s:g} s of preStop, drain"


def _slept_s(hook: Object) -> float:
    """How long a hook sleeps, by the action of Kubernetes 1.30 or by the command; 0 where it does not."""
    match hook:
        case {"sleep": {"seconds": seconds}}:
            return float(seconds)
        case {"exec": {"command": ["sleep", seconds]}}:
            return float(seconds)
        case _:
            return 0.0


def rollouts(release: Release) -> Iterator[str]:
    """A rollout takes away no pod before another is ready, and counts one only when it stays so."""
    for pod in release.pods():
        spec = pod.owner["spec"]
        if pod.owner["kind"] == "Deployment":
            strategy = spec.get("strategy", {})
            rolling = strategy.get("rollingUpdate", {})
            if strategy.get("type") == "Recreate" and not _is_alone(pod):
                yield f"{pod.name}: strategy is Recreate"
            if strategy.get("type") != "Recreate" and rolling.get("maxUnavailable") not in (0, "0%"):
                yield f"{pod.name}: strategy lets pods go before others are ready"
        elif pod.owner["kind"] == "StatefulSet":
            if spec.get("podManagementPolicy") != "Parallel":
                yield f"{pod.name}: podManagementPolicy"
            if spec.get("updateStrategy", {}).get("type") not in {"RollingUpdate", "OnDelete"}:
                yield f"{pod.name}: updateStrategy"
        for strategy in (spec.get("strategy", {}), spec.get("updateStrategy", {})):
            if strategy.get("type", "RollingUpdate") != "RollingUpdate" and "rollingUpdate" in strategy:
                yield f"{pod.name}: has rollingUpdate beside {strategy['type']}, which is refused"


def _is_alone(pod: Pod) -> bool:
    """Whether it is the one gateway on SQLite, beside which no second one may stand."""
    given = {variable["name"] for variable in main_container(pod)["env"]}
    return pod.component == "gateway" and "VITRINE_GATEWAY_STORE_URL" not in given


def autoscalers(release: Release) -> Iterator[str]:
    """An autoscaler scales something that is there, alone, and between numbers that make sense."""
    for scaler in release.of("HorizontalPodAutoscaler"):
        name, spec = f"HorizontalPodAutoscaler/{scaler['metadata']['name']}", scaler["spec"]
        target = release.named(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
        if target is None:
            yield f"{name}: its target is not there"
        elif "replicas" in target["spec"]:
            yield f"{name}: its target states replicas, so that every upgrade undoes the scaling"
        if spec.get("minReplicas", 1) > spec["maxReplicas"]:
            yield f"{name}: minReplicas is over maxReplicas"
        if not spec.get("metrics"):
            yield f"{name}: no metrics"


def selectors(release: Release) -> Iterator[str]:
    """Workloads own their pods alone; Services have pods behind them, and ports that these listen on."""
    pods = list(release.pods())
    lasting = [pod for pod in pods if pod.runs_on]
    for pod in lasting:
        wanted = pod.owner["spec"]["selector"]
        if not selects(wanted, pod.labels):
            yield f"{pod.name}: selector is not what its pods are labelled"
        for other in lasting:
            if other is not pod and selects(wanted, other.labels):
                yield f"{pod.name}: selector takes the pods of {other.name}"
    for service in release.of("Service"):
        name, spec = f"Service/{service['metadata']['name']}", service["spec"]
        behind = [pod for pod in pods if spec.get("selector") and selects(spec["selector"], pod.labels)]
        if not behind:
            yield f"{name}: selects no pod"
        for pod in behind:
            if not pod.runs_on:
                yield f"{name}: sends calls to {pod.name}"
                continue
            for port in spec["ports"]:
                target = port.get("targetPort", port["port"])
                known = {
                    each[key]
                    for container in pod.containers
                    for each in container.get("ports", ())
                    for key in ("name", "containerPort")
                }
                if target not in known:
                    yield f"{name}: {pod.name} has no port {target}"


def names(release: Release) -> Iterator[str]:
    """No two objects are one, names have a form that is taken, and labels tell what belongs together."""
    counted = Counter((each["kind"], each["metadata"]["name"]) for each in release.objects)
    for (kind, name), count in counted.items():
        if count > 1:
            yield f"{kind}/{name}: is there {count} times"
        form = _LABEL if kind in {*_WORKLOADS, "Service"} else _NAME
        if not form.fullmatch(name):
            yield f"{kind}/{name}: is no name"
        if kind in {"StatefulSet", "CronJob"} and len(name) > _STATEFULSET_CHARACTERS:
            yield f"{kind}/{name}: pods are named after it, and that name would be too long"
    for each in release.objects:
        labels = each["metadata"].get("labels", {})
        # A policy, a secret or a certificate may be for several components.
        of_one = each["kind"] in {*_WORKLOADS, "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
        for label in (*_RECOMMENDED, *([_COMPONENT] if of_one else [])):
            if not labels.get(label):
                yield f"{each['kind']}/{each['metadata']['name']}: has no label {label}"
    for pod in release.pods():
        for container in pod.all_containers:
            twice = [
                name
                for name, count in Counter(each["name"] for each in container.get("env", ())).items()
                if count > 1
            ]
            if twice:
                yield f"{pod.name}: container {container['name']}: has {', '.join(twice)} twice"


def references(release: Release) -> Iterator[str]:
    """Whatever a pod or an object names is rendered too, or it is the user who has named it."""
    # Which cert-manager makes.
    certified = {("Secret", each["spec"]["secretName"]) for each in release.of("Certificate")}
    for pod in release.pods():
        for kind, name in _named(pod):
            if (
                release.named(kind, name) is None
                and name not in release.given
                and (kind, name) not in certified
            ):
                yield f"{pod.name}: there is no {kind}/{name}"
    for ingress in release.of("Ingress"):
        for rule in ingress["spec"].get("rules", ()):
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = release.named("Service", backend["name"])
                ports = {
                    value
                    for port in (service or {"spec": {"ports": []}})["spec"]["ports"]
                    for value in (port["name"], port["port"])
                }
                if not ports & set(backend["port"].values()):
                    yield f"Ingress/{ingress['metadata']['name']}: no such port of Service/{backend['name']}"


def _named(pod: Pod) -> Iterator[tuple[str, str]]:
    spec = pod.spec
    yield "ServiceAccount", spec.get("serviceAccountName", "default")
    for secret in spec.get("imagePullSecrets", ()):
        yield "Secret", secret["name"]
    for volume in spec.get("volumes", ()):
        for source in (volume, *volume.get("projected", {}).get("sources", ())):
            if held := source.get("secret"):
                yield "Secret", held.get("secretName") or held["name"]
            if held := source.get("configMap"):
                yield "ConfigMap", held["name"]
        if held := volume.get("persistentVolumeClaim"):
            yield "PersistentVolumeClaim", held["claimName"]
    for container in pod.all_containers:
        sources = [each.get("valueFrom", {}) for each in container.get("env", ())]
        for source in (*sources, *container.get("envFrom", ())):
            for key, kind in (
                ("secretKeyRef", "Secret"),
                ("secretRef", "Secret"),
                ("configMapKeyRef", "ConfigMap"),
                ("configMapRef", "ConfigMap"),
            ):
                if held := source.get(key):
                    yield kind, held["name"]


def certificates(release: Release) -> Iterator[str]:
    """The certificate of whoever is called has the name that it is called by."""
    made = {each["spec"]["secretName"]: each["spec"]["dnsNames"] for each in release.of("Certificate")}
    for pod in release.pods():
        for container in pod.containers:
            text = " ".join(
                [variable.get("value", "") for variable in container.get("env", ())]
                + [*container.get("command", ()), *container.get("args", ())]
            )
            for host in sorted(set(_TARGET.findall(text))):
                service = release.named("Service", host.partition(".")[0])
                if service is None:
                    yield f"{pod.name}: calls {host}, which is no Service of ours"
                    continue
                for called in release.pods():
                    if selects(service["spec"]["selector"], called.labels):
                        shown = [
                            dns
                            for kind, name in _named(called)
                            if kind == "Secret"
                            for dns in made.get(name, ())
                        ]
                        if made and host not in shown:
                            yield f"{pod.name}: calls {host}, not in the certificate of {called.name}"


# An address of the mesh's own, by which a pod calls another.
_TARGET = re.compile(rf"(?<![\w.-])([a-z0-9-]+(?:\.{NAMESPACE}\.svc)?):50[0-9]{{3}}\b")


def volumes(release: Release) -> Iterator[str]:
    """Every mount has a volume, every volume is mounted, and no two mounts are at one place."""
    for pod in release.pods():
        there = {each["name"] for each in pod.spec.get("volumes", ())}
        there |= {each["metadata"]["name"] for each in pod.owner["spec"].get("volumeClaimTemplates", ())}
        mounts = [
            (container["name"], mount)
            for container in pod.all_containers
            for mount in container.get("volumeMounts", ())
        ]
        used = {mount["name"] for _, mount in mounts}
        for name in used - there:
            yield f"{pod.name}: mounts {name}, which is no volume"
        for name in there - used:
            yield f"{pod.name}: volume {name} is mounted nowhere"
        for (container, path), count in Counter((name, mount["mountPath"]) for name, mount in mounts).items():
            if count > 1:
                yield f"{pod.name}: container {container}: two mounts at {path}"


def monitors(release: Release) -> Iterator[str]:
    """Every ServiceMonitor finds Services with its port, and every long-running pod is scraped once."""
    found = list(release.of("ServiceMonitor"))
    if not found:
        return
    for monitor in found:
        name, spec = f"ServiceMonitor/{monitor['metadata']['name']}", monitor["spec"]
        services = _monitored(monitor, release)
        if not services:
            yield f"{name}: selects no Service"
        for service in services:
            for endpoint in spec["endpoints"]:
                if endpoint["port"] not in {port["name"] for port in service["spec"]["ports"]}:
                    yield f"{name}: Service/{service['metadata']['name']} has no port {endpoint['port']}"
    for pod in release.pods():
        if pod.runs_on:
            scraped = sum(
                selects(service["spec"]["selector"], pod.labels)
                for monitor in found
                for service in _monitored(monitor, release)
            )
            if scraped != 1:
                yield f"{pod.name}: is scraped {scraped} times"


def _monitored(monitor: Object, release: Release) -> list[Object]:
    wanted = monitor["spec"]["selector"]
    return [each for each in release.of("Service") if selects(wanted, each["metadata"].get("labels", {}))]


def closed_networks(release: Release) -> Iterator[str]:
    """Where there is one network policy, no pod is left open in either direction."""
    found = list(release.of("NetworkPolicy"))
    if not found:
        return
    for pod in release.pods():
        closed = {
            direction
            for each in found
            if selects(each["spec"]["podSelector"], pod.labels)
            for direction in each["spec"].get("policyTypes", ())
        }
        for direction in {"Ingress", "Egress"} - closed:
            yield f"{pod.name}: {direction} is open"


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector of Kubernetes, or the plain map of a Service, takes these labels.

    None takes nothing, an empty one everything.
    """
    if selector is None:
        return False
    if not selector.keys() <= {"matchLabels", "matchExpressions"}:
        selector = {"matchLabels": selector}
    plain = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return plain and all(_expressed(each, labels) for each in selector.get("matchExpressions") or ())


def _expressed(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


POLICIES: tuple[Policy, ...] = (
    restricted_pods,
    resources,
    probes,
    images,
    tokens,
    spread,
    disruption_budgets,
    grace_periods,
    rollouts,
    autoscalers,
    selectors,
    names,
    references,
    certificates,
    volumes,
    monitors,
    closed_networks,
)
