from __future__ import annotations

import copy
import ipaddress
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.mesh.fetch import uris
from tests.deploy.cases import CASES
from tests.deploy.charts import Object, Release, merged, render, set_at
from tests.deploy.conftest import Counts
from tests.deploy.containers import environment, main_container
from tests.deploy.edges import Edge, allowed
from tests.deploy.live_mesh import live_edges

pytestmark = pytest.mark.integration

# Who asks for pictures by address does so by the names of hosts, which nothing in the environment holds.
_FETCHES = {"gateway", "embedder"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def measured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[set[Edge]]:
    """Who was seen connected to whom while the mesh did all it does."""
    with live_edges(tmp_path_factory.mktemp("edges")) as mesh:
        await mesh.start()
        await mesh.work()
        await mesh.stop()
        yield mesh.wires.seen


def _used(release: Release, values: Object, measured: set[Edge]) -> set[Edge]:
    """What of the measured edges there is in an installation, and the questions to DNS."""
    parts = release.components()
    # Without pods of its own the feed is the gateway.
    known = measured if "feed" in parts else {_as_gateway(edge) for edge in measured}
    outside = {"internet", *(_AS_OUTSIDE[setting] for setting in _told(release) & _AS_OUTSIDE.keys())}
    callers = {"clients", *(["prometheus"] if _has_metrics(release) else [])}
    edges = {
        edge
        for edge in known
        if edge.source in parts | callers
        and edge.destination in parts | outside
        and edge.source != edge.destination
    }
    asking = {
        pod.component for pod in release.pods() if pod.component in _FETCHES or _names_hosts(pod, release)
    }
    return edges | {Edge(component, "dns") for component in asking}


_AS_OUTSIDE = {"STORE_URL": "store", "CACHE_URL": "cache", "OTLP_ENDPOINT": "traces"}


def _as_gateway(edge: Edge) -> Edge:
    return Edge(*("gateway" if part == "feed" else part for part in edge))


def _told(release: Release) -> set[str]:
    """The settings that any pod is given."""
    return {
        name.split("_", 2)[-1]
        for pod in release.pods()
        for name in environment(main_container(pod), release)
        if name.startswith("VITRINE_")
    }


def _names_hosts(pod: Any, release: Release) -> bool:
    """Whether a pod is told of somebody by name."""
    container = main_container(pod)
    texts = [*environment(container, release).values(), *container.get("args", ())]
    return any(mark in text for text in texts for mark in (".svc", "://", "-gateway:"))


def _has_metrics(release: Release) -> bool:
    return any(
        port["name"] == "metrics" for pod in release.pods() for port in main_container(pod).get("ports", ())
    )


def test_the_mesh_was_seen_at_work(measured: set[Edge]) -> None:
    """What the design says of who calls whom was seen, so the measurement has looked."""
    assert {
        Edge("clients", "gateway", "grpc"),
        Edge("clients", "gateway", "http"),
        Edge("gateway", "embedder", "grpc"),
        Edge("gateway", "ranker", "grpc"),
        Edge("gateway", "vectorsearch", "grpc"),
        Edge("gateway", "store"),
        Edge("gateway", "cache"),
        Edge("gateway", "internet"),
        Edge("embedder", "internet"),
        Edge("vectorsearch", "feed", "grpc"),
        Edge("feed", "store"),
        Edge("import", "gateway", "grpc"),
        Edge("snapshot", "vectorsearch", "grpc"),
        Edge("prometheus", "ranker", "metrics"),
    } <= measured


@pytest.mark.parametrize("case", CASES)
def test_the_network_is_open_where_it_is_used_and_nowhere_else(
    case: str, measured: set[Edge], counts: Counts
) -> None:
    """Each edge that the policies allow is one that was seen, and each that was seen is allowed."""
    release = render(CASES[case])
    opened, used = allowed(release), _used(release, CASES[case], measured)
    assert sorted(map(str, opened - used)) == [], "allowed, but nobody uses it"
    assert sorted(map(str, used - opened)) == [], "used, but not allowed"
    counts.most("edges", len(opened))


def test_pictures_are_fetched_from_the_ports_that_are_open() -> None:
    """The internet is open on the ports that pictures are fetched from, and no private network is."""
    release = render({})
    for component in ("gateway", "embedder"):
        rules = [
            rule
            for rule in _policy(release, component)["spec"]["egress"]
            if any("ipBlock" in peer for peer in rule.get("to", ()))
        ]
        assert [sorted(port["port"] for port in rule["ports"]) for rule in rules] == [sorted(uris._PORTS)]
        blocks = [ipaddress.ip_network(peer["ipBlock"]["cidr"]) for peer in rules[0]["to"]]
        closed = [
            ipaddress.ip_network(each)
            for peer in rules[0]["to"]
            for each in peer["ipBlock"].get("except", ())
        ]
        for private in (
            "10.1.2.3",
            "172.20.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "fd00::1",
        ):
            address = ipaddress.ip_address(private)
            is_open = any(address in block for block in blocks) and not any(
                address in each for each in closed
            )
            assert not is_open, private
        assert any(ipaddress.ip_address("8.8.8.8") in block for block in blocks)


def test_edges_too_many_and_too_few_are_seen() -> None:
    """A rule that is taken away closes its edge, one that is added opens one, and no policy opens all."""
    release = render(CASES["everything"])
    whole = allowed(release)
    edge = Edge("gateway", "ranker", "grpc")
    assert edge in whole

    closed = Release(copy.deepcopy(release.objects))
    policy = _policy(closed, "ranker")
    policy["spec"]["ingress"] = [
        rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] != 50053
    ]
    assert whole - allowed(closed) == {edge}

    opened = Release(copy.deepcopy(release.objects))
    _policy(opened, "ranker")["spec"].setdefault("egress", []).append({"ports": [{"port": 9999}]})
    assert allowed(opened) - whole == {Edge("ranker", "elsewhere")}

    without = render(merged(CASES["everything"], set_at("networkPolicy.enabled", False)))
    assert Edge("ranker", "vectorsearch", "grpc") in allowed(without) - whole


def _policy(release: Release, component: str) -> Object:
    return next(
        policy
        for policy in release.of("NetworkPolicy")
        if policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component") == component
    )
