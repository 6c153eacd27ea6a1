"""Callers of a shard that cost next to nothing: bytes in, bytes out."""

from __future__ import annotations

import asyncio
from typing import Self

import grpc

from benchmarks.embedder.callers import Failed
from benchmarks.embedder.http2 import Connection, Lost
from benchmarks.embedder.processes import HOST

SEARCH = "/vitrine.v1.VectorSearchService/SearchVectors"
ECHO = "/grpc.health.v1.Health/Check"

_CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


class Caller:
    """One connection to a server on this machine, for any number of calls at once. Use it as a context."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    async def search(self, request: bytes, timeout_s: float) -> bytes:
        """The serialised SearchVectorsResponse to a serialised request; raises Failed where there is none."""
        return await self._call(SEARCH, request, timeout_s)

    async def echo(self, request: bytes, timeout_s: float) -> bytes:
        """The answer of the server's health service, which has next to nothing to do; raises as `search`."""
        return await self._call(ECHO, request, timeout_s)

    async def _call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = await self._connected()
        try:
            answer = await connection.call(method, request, timeout_s)
        except TimeoutError as error:
            raise Failed("DEADLINE_EXCEEDED") from error
        except Lost as error:
            raise Failed("LOST") from error
        if answer.status:
            raise Failed(_CODES[answer.status])
        return answer.message

    async def _connected(self) -> Connection:
        # The server ends connections at some age, without harm to calls.
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(Connection, HOST, self._port)
            return self._connection
