"""Callers of a shard that cost next to nothing: bytes in, bytes out."""

from __future__ import annotations

from benchmarks.embedder.callers import GrpcCaller
from benchmarks.embedder.processes import HOST

SEARCH = "/vitrine.v1.VectorSearchService/SearchVectors"
ECHO = "/grpc.health.v1.Health/Check"


class Caller(GrpcCaller):
    """One connection to a shard on this machine, for any number of calls at once. Use it as a context."""

    def __init__(self, port: int) -> None:
        super().__init__(HOST, port)

    async def search(self, request: bytes, timeout_s: float) -> bytes:
        """The serialised SearchVectorsResponse to a serialised request; raises as `call`."""
        return await self.call(SEARCH, request, timeout_s)

    async def echo(self, request: bytes, timeout_s: float) -> bytes:
        """The answer of the server's health service, which has next to nothing to do; raises as `call`."""
        return await self.call(ECHO, request, timeout_s)
