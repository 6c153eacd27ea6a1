"""The health service of gRPC, `grpc.health.v1`, of one process.

Anybody may ask it, with no key: what it costs is bounded, and nobody who asks holds up who tells.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

# All that watch the health of one process. Balancers and meshes do, one for each of their own processes.
MAX_WATCHES = 100
# A watcher that has not taken a change for so long does not read.
WRITE_S = 5.0

_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health(health_pb2_grpc.HealthServicer):
    """What is told of each service, by its full name, and of the whole process as the empty one.

    A watch ends after `watch_s`: it has no deadline, and would hold an aged connection for ever.
    """

    def __init__(self, *, watch_s: float) -> None:
        self._watch_s = watch_s
        self._statuses: dict[str, int] = {}
        # One for each watch, set when it may have something to tell.
        self._watches: set[asyncio.Event] = set()
        self._has_ended = False

    def set(self, service: str, *, serving: bool) -> None:
        """Tell of a service that it is serving, or not."""
        response = health_pb2.HealthCheckResponse
        self._statuses[service] = response.SERVING if serving else response.NOT_SERVING
        self._wake()

    def end(self) -> None:
        """End all watches once they have told what is to tell: a drain would wait for them in vain."""
        self._has_ended = True
        self._wake()

    async def Check(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a service; NOT_FOUND for one that is not here."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Write the status of a service now and whenever it changes; RESOURCE_EXHAUSTED for one too many."""
        if len(self._watches) >= MAX_WATCHES:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WATCHES} watch already")
        changed = asyncio.Event()
        self._watches.add(changed)
        try:
            await self._tell(request.service, changed, context)
        finally:
            self._watches.remove(changed)

    async def _tell(self, service: str, changed: asyncio.Event, context: Context) -> None:
        ends_at_s = asyncio.get_running_loop().time() + self._watch_s
        told = None
        while True:
            changed.clear()
            status = self._statuses.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await _write(health_pb2.HealthCheckResponse(status=status), context)
                told = status
            elif self._has_ended:
                return
            else:
                # Never while it writes: a call with a write under way cannot be ended well.
                try:
                    async with asyncio.timeout_at(ends_at_s):
                        await changed.wait()
                except TimeoutError:
                    return

    def _wake(self) -> None:
        for changed in self._watches:
            changed.set()


def add_check_alone(health: Health, server: grpc.aio.Server) -> None:
    """Serve `Check` alone, for probes: whom a process does not know has nothing to watch."""
    check: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        health.Check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": check}),))


async def _write(response: health_pb2.HealthCheckResponse, context: Context) -> None:
    try:
        async with asyncio.timeout(WRITE_S):
            await context.write(response)
    except TimeoutError:
        # Not an end as others: nothing can be sent on the call, not even its status, while the write waits.
        raise asyncio.CancelledError from None
