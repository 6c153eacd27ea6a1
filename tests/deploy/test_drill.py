from __future__ import annotations

from typing import Any

import pytest

from deploy.drills import policies
from deploy.drills.controllers import Pod, names, playable, pods


def controller(kind: str, name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "serviceAccountName": "account",
            "initContainers": [{"name": "models", "image": "models"}],
            "containers": [
                {"name": "main", "image": "main", "ports": [{"containerPort": 1}], "livenessProbe": {}}
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    return {
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


def service(name: str, app: str) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": app}}}


def policy(app: str | None, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}} if app else {}
    return {"spec": {"podSelector": selector, "policyTypes": ["Ingress", "Egress"], **spec}}


def peer(app: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": app}}}


@pytest.fixture
def running() -> list[Pod]:
    return [*pods([controller("Deployment", name, 1) for name in ("caller", "called", "other")])]


def test_every_replica_is_a_pod_of_its_own() -> None:
    """Replicas have numbered names and addresses that nobody else has."""
    found = [*pods([controller("Deployment", "a", 2), controller("StatefulSet", "b", 1, serviceName="b")])]
    assert [pod.name for pod in found] == ["a-0", "a-1", "b-0"]
    assert len({pod.address for pod in found}) == 3


def test_a_service_has_the_addresses_of_all_pods_that_it_selects() -> None:
    """Each selected pod's address has the Service's name in every form, and no other pod's has."""
    manifests = [controller("Deployment", "a", 2), controller("Deployment", "b", 1), service("web", "a")]
    hosts = names(manifests, [*pods(manifests)])
    forms = ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"]
    assert [*hosts.values()] == [forms, forms]


def test_a_replica_of_a_stateful_set_has_its_own_name() -> None:
    """It is found as POD.SERVICE in the namespace."""
    manifests = [controller("StatefulSet", "b", 1, serviceName="peers")]
    (hosts,) = names(manifests, [*pods(manifests)]).values()
    assert "b-0.peers.default.svc" in hosts


def test_claims_of_a_template_belong_to_one_replica() -> None:
    """Replicas of a StatefulSet do not share what they keep."""
    claim = {"metadata": {"name": "data"}}
    first, second = pods([controller("StatefulSet", "b", 2, serviceName="b", volumeClaimTemplates=[claim])])
    claims = [
        {volume["persistentVolumeClaim"]["claimName"] for volume in playable(pod, {})["spec"]["volumes"]}
        for pod in (first, second)
    ]
    assert len(claims[0]) == len(claims[1]) == 2
    assert not claims[0] & claims[1]


def test_what_is_played_opens_no_port_of_this_machine_and_restarts_nothing() -> None:
    """Podman would publish ports, ignore gRPC probes and run init containers again."""
    (pod,) = pods([controller("Deployment", "a", 1)])
    spec = playable(pod, {"10.0.0.1": ["web"]})["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["web"]}]
    assert not {"ports", "livenessProbe"} & spec["containers"][0].keys()
    assert all(container["imagePullPolicy"] == "Never" for container in spec["containers"])
    # What the drill reads itself is still there.
    assert pod.spec["containers"][0]["ports"]


def test_a_connection_needs_both_ends_to_agree(running: list[Pod]) -> None:
    """Egress of the caller or ingress of the called alone opens nothing."""
    caller, called, other = running
    port = [{"protocol": "TCP", "port": 5}]
    out = policy("caller", egress=[{"to": [peer("called")], "ports": port}])
    into = policy("called", ingress=[{"from": [peer("caller")], "ports": port}])
    deny = policy(None)
    assert not policies.connects(caller, called, 5, [deny, out], running)
    assert not policies.connects(caller, called, 5, [deny, into], running)
    assert policies.connects(caller, called, 5, [deny, out, into], running)
    assert not policies.connects(caller, called, 6, [deny, out, into], running)
    assert not policies.connects(called, caller, 5, [deny, out, into], running)
    assert not policies.connects(other, called, 5, [deny, out, into], running)


def test_excepted_addresses_of_a_block_are_closed(running: list[Pod]) -> None:
    """A block that leaves out the pods' network does not open it."""
    caller, called, _ = running
    anywhere = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    out = policy("caller", egress=[{"to": [anywhere], "ports": [{"protocol": "TCP", "port": 443}]}])
    into = policy("called", ingress=[{}])
    assert not policies.connects(caller, called, 443, [out, into], running)
    (opening,) = policies.openings(caller, "egress", [out], running)
    assert opening.covers("93.184.216.34", 443)


def test_rules_end_with_a_refusal_and_let_the_node_in(running: list[Pod]) -> None:
    """A pod that only default-deny selects talks to itself and is probed by the node, no more."""
    lines = policies.rules(running[0], [policy(None)], running).splitlines()
    for chain in ("INPUT", "OUTPUT"):
        assert [line for line in lines if line.startswith(f"-A {chain} ")][-1] == f"-A {chain} -j REJECT"
    accepted = [line for line in lines if line.endswith("-j ACCEPT")]
    assert all(" lo " in line or "ESTABLISHED" in line or policies.NODE in line for line in accepted)


def test_a_selector_that_is_not_understood_is_refused(running: list[Pod]) -> None:
    """Nothing is taken for open or closed by guessing."""
    strange = {"spec": {"podSelector": {"matchExpressions": []}, "policyTypes": ["Ingress"]}}
    with pytest.raises(SystemExit, match="matchExpressions"):
        policies.openings(running[0], "ingress", [strange], running)
