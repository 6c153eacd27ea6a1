"""What the controllers of a cluster would make of manifests: pods, their addresses and their names."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NAMESPACE: Final = "default"
NETWORK: Final = "vitrine-drill"
SUBNET: Final = "10.89.77"
# The first addresses of a network are its gateway's and those that podman gives by itself.
FIRST_ADDRESS: Final = 10

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """One pod, as a controller would make it; `hostname` is its name within the Service of a StatefulSet."""

    name: str
    labels: Mapping[str, str]
    spec: Manifest
    address: str
    hostname: str = ""


def pods(manifests: Sequence[Manifest]) -> Iterator[Pod]:
    """The pods that controllers would make, and the chart's own, numbered and with an address each."""
    made: list[tuple[str, Manifest, str]] = []
    for manifest in manifests:
        name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
        match manifest["kind"]:
            case "Deployment" | "StatefulSet":
                service = spec.get("serviceName", "")
                made += [
                    (f"{name}-{number}", _claimed(manifest, number), service)
                    for number in range(spec["replicas"])
                ]
            case "Pod":
                made.append((name, manifest, ""))
            case _:
                pass
    for number, (name, template, service) in enumerate(made):
        yield Pod(
            name=name,
            labels=template["metadata"].get("labels", {}),
            spec=template["spec"],
            address=f"{SUBNET}.{FIRST_ADDRESS + number}",
            hostname=f"{name}.{service}" if service else "",
        )


def _claimed(controller: Manifest, number: int) -> Manifest:
    """A controller's template, with the claims of replica `number` among its volumes."""
    template: Manifest = copy.deepcopy(controller["spec"]["template"])
    volumes = template["spec"].setdefault("volumes", [])
    for claim in controller["spec"].get("volumeClaimTemplates", []):
        volume = claim["metadata"]["name"]
        name = f"{volume}-{controller['metadata']['name']}-{number}"
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": name}})
    return template


def names(manifests: Sequence[Manifest], running: Sequence[Pod]) -> dict[str, list[str]]:
    """Names by address: those of the Services that select the pod there, and its own within its Service.

    A Service that selects several pods has several addresses, as a headless one has in a cluster.
    """
    found: dict[str, list[str]] = {pod.address: [] for pod in running}
    for manifest in manifests:
        if manifest["kind"] != "Service":
            continue
        selector = manifest["spec"]["selector"].items()
        for pod in running:
            if selector <= pod.labels.items():
                found[pod.address] += _forms(manifest["metadata"]["name"])
    for pod in running:
        if pod.hostname:
            found[pod.address] += _forms(pod.hostname)
    return {address: hosts for address, hosts in found.items() if hosts}


def _forms(name: str) -> list[str]:
    return [name, *(f"{name}.{NAMESPACE}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local"))]


def playable(pod: Pod, hosts: Mapping[str, Sequence[str]]) -> Manifest:
    """What `podman play kube` is given for a pod.

    Volumes become claims that `make_volume` has made: podman names an emptyDir after the volume alone, so
    that pods would share it, and makes it root's. Probes and hooks are left out, of which podman has no such
    kinds, so are ports, which it would open on this machine, and what a scheduler would read.
    """
    spec = copy.deepcopy(pod.spec)
    for key in ("topologySpreadConstraints", "serviceAccountName", "affinity", "tolerations", "nodeSelector"):
        spec.pop(key, None)
    spec["hostAliases"] = [{"ip": address, "hostnames": [*names]} for address, names in hosts.items()]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        container["imagePullPolicy"] = "Never"
        for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
            container.pop(key, None)
    spec["volumes"] = [
        {"name": volume["name"], "persistentVolumeClaim": {"claimName": volume_name(pod, volume)}}
        for volume in spec.get("volumes", [])
    ]
    # Podman would start init containers again as well, which would write over what is in use.
    spec["restartPolicy"] = "Never"
    metadata = {"name": pod.name, "labels": {**pod.labels}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def volume_name(pod: Pod, volume: Manifest) -> str:
    """How podman calls a volume: a claim's name, or the pod's and the volume's."""
    claim = volume.get("persistentVolumeClaim")
    if claim is None and "emptyDir" not in volume:
        raise SystemExit(f"pods: {pod.name} has a volume of a kind that is not known here: {volume}")
    return f"{NETWORK}-{claim['claimName'] if claim else pod.name + '-' + volume['name']}"
