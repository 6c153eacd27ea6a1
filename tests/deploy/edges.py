"""Who may call whom, by the network policies of a rendered installation.

An edge is (source, destination, port): components of the mesh, or what lies outside by its part in it; the
port by its name, empty outside. Outside are `clients` and `prometheus`, who call, and `dns`, `store`,
`cache`, `traces` and `internet`, who are called; somebody outside on a port that none of them has is
`elsewhere`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from services.mesh.fetch import uris
from tests.deploy.charts import NAMESPACE, Object, Pod, Release
from tests.deploy.policies import selects


class Edge(NamedTuple):
    source: str
    destination: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination}{self.port and ':'}{self.port}"


# Where things outside listen by convention, and in the examples.
_OUTSIDE: dict[int | str, str] = {
    53: "dns",
    27017: "store",
    6379: "cache",
    4317: "traces",
    **dict.fromkeys(uris._PORTS, "internet"),
}
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))
)


def allowed(release: Release) -> set[Edge]:
    """Every edge that the policies let through, both ends asked."""
    pods = list(release.pods())
    policies = list(release.of("NetworkPolicy"))
    return {
        *_inside(pods, policies),
        *(edge for pod in pods for edge in _leaving(pod, policies, pods)),
        *(edge for pod in pods for edge in _entering(pod, policies)),
    }


def _rules(pod: Pod, policies: list[Object], direction: str) -> list[Object]:
    """The rules for a pod, `to` and `from` both called `peers`; without a policy it has one that lets all."""
    key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    closing = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not closing:
        return [{}]
    return [
        {"ports": rule.get("ports"), "peers": rule.get(peers)}
        for spec in closing
        for rule in spec.get(key) or ()
    ]


def _inside(pods: list[Pod], policies: list[Object]) -> Iterator[Edge]:
    for source in pods:
        leaving = _rules(source, policies, "Egress")
        for destination in pods:
            if not destination.runs_on:
                continue
            entering = _rules(destination, policies, "Ingress")
            for port in _ports(destination):
                if any(_takes(rule, destination, port) for rule in leaving) and any(
                    _takes(rule, source, port) for rule in entering
                ):
                    yield Edge(source.component, destination.component, port["name"])


def _takes(rule: Object, other: Pod, port: Object) -> bool:
    """Whether a rule lets this port pass to, or from, this pod."""
    ports: list[Object] = rule.get("ports") or []
    if ports and not any(_is_port(each, port) for each in ports):
        return False
    peers: list[Object] = rule.get("peers") or []
    return not peers or any(_is_peer(peer, other) for peer in peers)


def _is_port(wanted: Object, port: Object) -> bool:
    if wanted.get("protocol", "TCP") != port.get("protocol", "TCP"):
        return False
    number = wanted.get("port")
    if isinstance(number, int) and "endPort" in wanted:
        return number <= int(port["containerPort"]) <= int(wanted["endPort"])
    return number in {None, port["containerPort"], port["name"]}


def _is_peer(peer: Object, pod: Pod) -> bool:
    if "ipBlock" in peer:
        return _holds_cluster(peer["ipBlock"])
    spaces = peer.get("namespaceSelector")
    if spaces is not None and not selects(spaces, {_NAMESPACE_LABEL: NAMESPACE}):
        return False
    return selects(peer.get("podSelector", {}), pod.labels)


def _holds_cluster(block: Mapping[str, Any]) -> bool:
    """Whether addresses of pods, which are private ones, are in a block."""
    network = ipaddress.ip_network(block["cidr"])
    left_out = [ipaddress.ip_network(each) for each in block.get("except", ())]
    return any(
        each.overlaps(network) and each not in left_out
        for each in _PRIVATE
        if each.version == network.version
    )


def _leaving(pod: Pod, policies: list[Object], pods: list[Pod]) -> Iterator[Edge]:
    for rule in _rules(pod, policies, "Egress"):
        peers: list[Object] = rule.get("peers") or []
        inside = bool(peers) and all(
            "ipBlock" not in peer and any(_is_peer(peer, other) for other in pods) for peer in peers
        )
        if inside:
            continue
        ports: list[Object] = rule.get("ports") or [{"port": 0}]
        for port in ports:
            yield Edge(pod.component, _OUTSIDE.get(port["port"], "elsewhere"))


def _entering(pod: Pod, policies: list[Object]) -> Iterator[Edge]:
    """Who may come from outside: the mesh's own pods are not looked at here."""
    for rule in _rules(pod, policies, "Ingress"):
        peers = rule.get("peers")
        if peers and all(peer.keys() == {"podSelector"} for peer in peers):
            continue
        for port in _ports(pod):
            if not rule.get("ports") or any(_is_port(each, port) for each in rule["ports"]):
                caller = "prometheus" if port["name"] == "metrics" else "clients"
                yield Edge(caller, pod.component, port["name"])


def _ports(pod: Pod) -> list[Object]:
    return [port for container in pod.containers for port in container.get("ports", ())]
