"""Which services there are, on which ports, and what each is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from services.mesh.errors import InvalidArgument

HOST = "127.0.0.1"
DEFAULT_PORT_BASE = 50051
DEFAULT_HTTP_PORT = 8080
MAX_SHARDS = 64

# Where the gateway itself reads these from; the options of `vitrine up` do too.
STORE_VARIABLE = "VITRINE_GATEWAY_STORE_URL"
CACHE_VARIABLE = "VITRINE_GATEWAY_CACHE_URL"

# Where each service listens, counted from the port base; its metrics are 1,000 ports higher.
_EMBEDDER, _RANKER, _FIRST_SHARD, _METRICS = 1, 2, 9, 1000


@dataclass(frozen=True)
class Service:
    """One process: its name, its command, and what its environment has besides ours.

    `address` is where its gRPC health service is; `url` is asked for its health too when there is one.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    url: str = ""


@dataclass(frozen=True)
class Layout:
    """The ports of a mesh on loopback."""

    port_base: int = DEFAULT_PORT_BASE
    http_port: int = DEFAULT_HTTP_PORT
    shards: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= MAX_SHARDS:
            raise InvalidArgument("shards", f"must be 1 to {MAX_SHARDS}")
        highest = self.port_base + _METRICS + _FIRST_SHARD + self.shards
        if self.port_base < 1 or highest > 65535:
            raise InvalidArgument("port-base", f"{self.port_base} leads to ports outside of 1 to 65535")
        if not 1 <= self.http_port <= 65535:
            raise InvalidArgument("http-port", "must be 1 to 65535")

    @property
    def gateway(self) -> str:
        """Address of the gateway's gRPC."""
        return f"{HOST}:{self.port_base}"

    @property
    def embedder(self) -> str:
        """Address of the embedder."""
        return f"{HOST}:{self.port_base + _EMBEDDER}"

    @property
    def ranker(self) -> str:
        """Address of the ranker."""
        return f"{HOST}:{self.port_base + _RANKER}"

    @property
    def vectorsearch(self) -> tuple[str, ...]:
        """Addresses of the shards, in order."""
        first = self.port_base + _FIRST_SHARD
        return tuple(f"{HOST}:{first + shard}" for shard in range(self.shards))

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def addresses(self) -> dict[str, str]:
        """Address of each service's gRPC, by the service's name."""
        shards = {f"vectorsearch-{shard}": address for shard, address in enumerate(self.vectorsearch)}
        return {"embedder": self.embedder, "ranker": self.ranker, **shards, "gateway": self.gateway}

    @property
    def ports(self) -> dict[int, str]:
        """Every port that is listened on, with what it is for."""
        grpc = {_port(address): name for name, address in self.addresses.items()}
        metrics = {port + _METRICS: f"metrics of {name}" for port, name in grpc.items()}
        return {**grpc, **metrics, self.http_port: "HTTP"}

    def metrics_url(self, name: str) -> str:
        """Where a service is scraped."""
        return f"http://{HOST}:{_port(self.addresses[name]) + _METRICS}/metrics"

    def services(
        self, data_dir: Path, models_dir: Path, *, drain_s: float, store_url: str = "", cache_url: str = ""
    ) -> list[Service]:
        """The processes, those first that others ask.

        The gateway keeps its catalogue at `store_url` and shares cached answers at `cache_url`; what is empty
        is left to its own settings.
        """
        elsewhere = {"store_url": store_url, "cache_url": cache_url}
        own: dict[str, dict[str, object]] = {
            "embedder": {"models_dir": models_dir},
            "ranker": {"models_dir": models_dir},
            "gateway": {
                "data_dir": data_dir / "gateway",
                "embedder": self.embedder,
                "ranker": self.ranker,
                "shards": ",".join(self.vectorsearch),
                "http_host": HOST,
                "http_port": self.http_port,
                **{name: url for name, url in elsewhere.items() if url},
            },
        }
        for shard in range(self.shards):
            own[f"vectorsearch-{shard}"] = {
                "data_dir": data_dir / f"vectorsearch-{shard}",
                "feed_target": self.gateway,
                "shard": shard,
                "shards": self.shards,
            }
        return [
            self._service(name, address, {**own[name], "drain_s": drain_s})
            for name, address in self.addresses.items()
        ]

    def _service(self, name: str, address: str, settings: Mapping[str, object]) -> Service:
        package = name.partition("-")[0]
        prefix = f"VITRINE_{package.upper()}_"
        port = _port(address)
        listening = {"host": HOST, "port": port, "metrics_port": port + _METRICS}
        return Service(
            name=name,
            command=(sys.executable, "-m", f"services.{package}"),
            environment={
                f"{prefix}{key.upper()}": str(value) for key, value in {**listening, **settings}.items()
            },
            address=address,
            url=f"{self.url}/healthz" if name == "gateway" else "",
        )


def data_dir_default() -> Path:
    """`$VITRINE_DATA_DIR`, or where programs of a user keep their data."""
    return Path(os.environ.get("VITRINE_DATA_DIR") or "~/.local/share/vitrine").expanduser()


def shown_url(url: str) -> str:
    """The URL of a store or cache without what must not be shown: the password, and options after `?`."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, user.partition(":")[0] + at + hosts, parts.path, "", ""))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
