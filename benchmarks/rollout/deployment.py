"""A whole deployment of pods behind names, as the chart would make it, and how its pods are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import progress
from benchmarks.rollout.names import Names
from benchmarks.rollout.pods import PORT, Addresses, Pod

# As the chart sets them. A connection lives so long, give or take a tenth; then its caller asks DNS again,
# which may tell what was for `names.TTL_S`: in less than 10 s everybody knows. A pod is told to end so long
# after its address has left DNS, when nobody calls it any more.
CONNECTION_AGE_S = 4.0
PRE_STOP_S = 10.0
SHARDS = 2
REPLICAS = 2


@dataclass(frozen=True, slots=True)
class Component:
    """Pods that do the same, behind one name."""

    name: str
    module: str
    service: str
    settings: Mapping[str, object] = field(default_factory=dict)
    replicas: int = REPLICAS
    keeps_data: bool = False


class Deployment:
    """Components as pods with logs and data in `directory`."""

    def __init__(
        self,
        directory: Path,
        names: Names,
        components: Sequence[Component],
        *,
        pre_stop_s: float = PRE_STOP_S,
    ) -> None:
        self._directory = directory
        self._names = names
        self._pre_stop_s = pre_stop_s
        self._addresses = Addresses()
        self.components = list(components)
        self.pods: dict[str, list[Pod]] = {component.name: [] for component in components}

    async def start(self) -> None:
        """Start all pods at once; all are ready and have their names when this returns."""
        started = [
            (component, self.launch(component))
            for component in self.components
            for _ in range(component.replicas)
        ]
        await asyncio.gather(*(self._join(component, pod) for component, pod in started))

    def launch(self, component: Component) -> Pod:
        """A new pod of a component, which may not be ready and has no name yet."""
        address = self._addresses.next()
        settings = dict(component.settings)
        if component.keeps_data:
            settings["DATA_DIR"] = self._directory / address
        log = self._directory / f"{component.name}-{address}.log"
        pod = Pod(component.module, component.service, address, log, settings)
        self.pods[component.name].append(pod)
        return pod

    async def add(self, component: Component) -> Pod:
        """One more pod, ready and with its name."""
        pod = self.launch(component)
        await self._join(component, pod)
        return pod

    async def remove(self, component: Component, pod: Pod) -> None:
        """Take a pod's name from it, and end it as Kubernetes does."""
        self._names.remove(component.name, pod.address)
        await asyncio.sleep(self._pre_stop_s)
        await pod.stop()
        self.pods[component.name].remove(pod)

    async def replace(self, component: Component) -> None:
        """Replace all pods of a component, one at a time."""
        for pod in list(self.pods[component.name]):
            await self.add(component)
            await self.remove(component, pod)

    async def lose(self, component: Component) -> None:
        """Kill a pod of a component without warning; its name is taken from it, and another one comes."""
        pod = self.pods[component.name][0]
        pod.kill()
        self._names.remove(component.name, pod.address)
        self.pods[component.name].remove(pod)
        await self.add(component)

    async def replace_all(self, *, at_once: bool) -> None:
        """Replace every pod there is, and kill one of the first shard afterwards.

        Of a component it is one at a time, and one component after the other unless `at_once`.
        """
        if at_once:
            await asyncio.gather(*(self.replace(component) for component in self.components))
        else:
            for component in self.components:
                progress(f"replacing {component.name}")
                await self.replace(component)
        victim = next(each for each in self.components if each.name == shard_name(0))
        progress(f"killing one of {victim.name}")
        await self.lose(victim)

    def end(self) -> None:
        """Kill all pods."""
        for pods in self.pods.values():
            for pod in pods:
                pod.kill()

    async def _join(self, component: Component, pod: Pod) -> None:
        await pod.ready()
        self._names.add(component.name, pod.address)


def shard_name(shard: int) -> str:
    """The name of a shard's pods."""
    return f"shard-{shard}.test"


def components(
    names: Names,
    *,
    embedder: Component,
    ranker_models_dir: Path,
    store_url: str,
    cache_url: str,
    connection_age_s: float = CONNECTION_AGE_S,
) -> list[Component]:
    """A whole mesh around an embedder: gateways and their feed, a ranker and shards with replicas."""
    aged = {"MAX_CONNECTION_AGE_S": connection_age_s}
    stores = {"STORE_URL": store_url, "CACHE_URL": cache_url, "FEED_HEARTBEAT_S": 1}
    feed = Component("feed.test", "services.gateway", "GATEWAY", stores | {"ROLE": "feed"}, keeps_data=True)
    ranker = Component("ranker.test", "services.ranker", "RANKER", aged | {"MODELS_DIR": ranker_models_dir})
    shards = [
        Component(
            shard_name(shard),
            "services.vectorsearch",
            "VECTORSEARCH",
            aged
            | {
                "FEED_TARGET": names.target(feed.name, PORT),
                "FEED_BACKOFF_MAX_S": 0.5,
                "SEARCH_THREADS": 1,
                "SHARD": shard,
                "SHARDS": SHARDS,
            },
            keeps_data=True,
        )
        for shard in range(SHARDS)
    ]
    gateway = Component(
        "gateway.test",
        "services.gateway",
        "GATEWAY",
        stores
        | aged
        | {
            "ROLE": "api",
            "HTTP_PORT": 0,
            "EMBEDDER": names.target(embedder.name, PORT),
            "RANKER": names.target(ranker.name, PORT),
            "SHARDS": ",".join(names.target(shard.name, PORT) for shard in shards),
        },
        keeps_data=True,
    )
    return [feed, embedder, ranker, *shards, gateway]


@contextmanager
def deployed(
    directory: Path, names: Names, parts: Sequence[Component], *, pre_stop_s: float = PRE_STOP_S
) -> Iterator[Deployment]:
    """A deployment that is yet to be started; all its pods are killed at the end."""
    deployment = Deployment(directory, names, parts, pre_stop_s=pre_stop_s)
    try:
        yield deployment
    finally:
        deployment.end()
