"""NetworkPolicies on one machine: as rules of iptables within the network namespace of each pod.

Podman knows no NetworkPolicy. What it says is therefore enforced where a pod cannot change it: pods have no
capabilities, and the rules are written from outside. Only what the chart uses is understood: selectors by
label, blocks of addresses, and ports by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final, Literal

from deploy.drills.controllers import SUBNET, Manifest, Pod

Direction = Literal["ingress", "egress"]

CHAINS: Final[dict[Direction, str]] = {"ingress": "INPUT", "egress": "OUTPUT"}
PEERS: Final[dict[Direction, str]] = {"ingress": "from", "egress": "to"}
# Kubelet's probes come from the node, which no policy keeps out.
NODE: Final = f"{SUBNET}.1"
EVERYWHERE: Final = "0.0.0.0/0"


@dataclass(frozen=True)
class Opening:
    """What a pod may reach, or be reached from: a block of addresses less some, at a port or at any."""

    block: str
    excepted: tuple[str, ...]
    protocol: str
    port: int | None

    def covers(self, address: str, port: int) -> bool:
        """Whether a TCP connection with that address, to that port, goes through."""
        peer = ip_address(address)
        return (
            self.protocol == "TCP"
            and self.port in {None, port}
            and peer in ip_network(self.block)
            and not any(peer in ip_network(block) for block in self.excepted)
        )


def openings(
    pod: Pod, direction: Direction, policies: Sequence[Manifest], running: Sequence[Pod]
) -> list[Opening]:
    """All that the policies which select a pod let through."""
    found: list[Opening] = []
    for policy in policies:
        spec = policy["spec"]
        if not _selects(spec["podSelector"], pod) or direction.title() not in spec["policyTypes"]:
            continue
        for rule in spec.get(direction, []):
            ports = rule.get("ports", [{"protocol": "TCP"}, {"protocol": "UDP"}])
            for block, excepted in _blocks(rule.get(PEERS[direction]), running):
                found += [Opening(block, excepted, port["protocol"], port.get("port")) for port in ports]
    return found


def _selects(selector: Manifest, pod: Pod) -> bool:
    if unknown := selector.keys() - {"matchLabels"}:
        raise SystemExit(f"pods: selectors by {', '.join(unknown)} are not known here")
    labels: dict[str, str] = selector.get("matchLabels", {})
    return labels.items() <= pod.labels.items()


def _blocks(
    peers: Sequence[Manifest] | None, running: Sequence[Pod]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The addresses of a rule's peers; all where it names none."""
    if peers is None:
        yield EVERYWHERE, ()
    for peer in peers or ():
        if "ipBlock" in peer:
            block: dict[str, Any] = peer["ipBlock"]
            # The drill's network has no IPv6.
            if ":" not in block["cidr"]:
                yield block["cidr"], tuple(block.get("except", ()))
        elif peer.get("namespaceSelector") == {} and "podSelector" not in peer:
            yield f"{SUBNET}.0/24", ()
        elif "namespaceSelector" not in peer:
            for pod in running:
                if _selects(peer["podSelector"], pod):
                    yield f"{pod.address}/32", ()
        # Pods of other namespaces, such as those of DNS, are not here.


def connects(
    source: Pod, target: Pod, port: int, policies: Sequence[Manifest], running: Sequence[Pod]
) -> bool:
    """Whether the policies let `source` connect to a TCP port of `target`."""
    return any(
        opening.covers(target.address, port) for opening in openings(source, "egress", policies, running)
    ) and any(
        opening.covers(source.address, port) for opening in openings(target, "ingress", policies, running)
    )


def rules(pod: Pod, policies: Sequence[Manifest], running: Sequence[Pod]) -> str:
    """The filter table of a pod's network namespace, as `iptables-restore` reads it."""
    chains = [":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines: list[str] = []
    for direction, chain in CHAINS.items():
        peer, device = ("-s", "-i") if direction == "ingress" else ("-d", "-o")
        lines += [
            f"-A {chain} {device} lo -j ACCEPT",
            f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        ]
        if direction == "ingress":
            lines.append(f"-A {chain} -s {NODE} -j ACCEPT")
        for number, opening in enumerate(openings(pod, direction, policies, running)):
            own = f"{direction}-{number}"
            port = "" if opening.port is None else f" --dport {opening.port}"
            chains.append(f":{own} - [0:0]")
            lines += [
                f"-A {chain} {peer} {opening.block} -p {opening.protocol.lower()}{port} -j {own}",
                *(f"-A {own} {peer} {block} -j RETURN" for block in opening.excepted),
                f"-A {own} -j ACCEPT",
            ]
        lines.append(f"-A {chain} -j REJECT")
    return "\n".join(["*filter", *chains, *lines, "COMMIT", ""])
