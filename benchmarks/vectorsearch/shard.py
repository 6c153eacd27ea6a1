"""The shard that is measured: a real process that follows the benchmark's feed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.embedder.processes import HOST, Server, free_port, running, serves_grpc
from services.mesh.channel import call, connect
from services.mesh.errors import VitrineError
from services.vectorsearch.settings import Settings
from vitrine.v1 import vectorsearch_pb2, vectorsearch_pb2_grpc

# Rows come over the feed one by one.
_START_TIMEOUT_S = 1800.0
_STATUS_TIMEOUT_S = 60.0
_SNAPSHOT_TIMEOUT_S = 600.0
_KINDS_SETTING = "index_kinds"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that serves, and what it tells of itself."""

    server: Server

    @property
    def rss_bytes(self) -> int:
        """Its resident memory."""
        return int(self.server.process.memory_info().rss)

    @property
    def peak_rss_bytes(self) -> int:
        """The most that was ever resident."""
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return self.rss_bytes

    async def status(self) -> vectorsearch_pb2.GetShardStatusResponse:
        """Its answer to GetShardStatus."""
        async with connect(self.server.address) as channel:
            stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(channel)
            request = vectorsearch_pb2.GetShardStatusRequest()
            return await call(stub.GetShardStatus, request, timeout_s=_STATUS_TIMEOUT_S)

    async def snapshot(self) -> None:
        """Have it write a snapshot. Raises the domain error that it answers with."""
        async with connect(self.server.address) as channel:
            stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(channel)
            request = vectorsearch_pb2.SnapshotShardRequest()
            await call(stub.SnapshotShard, request, timeout_s=_SNAPSHOT_TIMEOUT_S)

    async def settle(self) -> None:
        """Have it write its snapshot now rather than while it is measured, if it can be told to."""
        with contextlib.suppress(VitrineError):
            await self.snapshot()


def knows_kinds() -> bool:
    """Whether a shard can be told which kind of index to take."""
    return _KINDS_SETTING in Settings.model_fields


@contextlib.asynccontextmanager
async def shard(folder: Path, feed_port: int, *, kind: str | None = None) -> AsyncIterator[Shard]:
    """A shard with its default settings, once it has all rows; `folder` keeps its log and data."""
    port, metrics_port = free_port(), free_port()
    flags = {
        "--port": port,
        "--metrics-port": metrics_port,
        "--feed-target": f"{HOST}:{feed_port}",
        "--data-dir": folder / "data",
    }
    if kind is not None:
        flags["--index-kinds"] = kind
    arguments = ["services.vectorsearch", *(str(word) for flag in flags.items() for word in flag)]
    log = _log(folder)
    async with running(arguments, log, {}, lambda: serves_grpc(port), timeout_s=_START_TIMEOUT_S) as process:
        yield Shard(Server(process, port, metrics_port))


def _log(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / "shard.log"
