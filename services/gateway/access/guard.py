"""Stands around a flow: lets callers do what they may, and tells of writes in the audit log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from services.gateway.access import audit, policy
from services.gateway.access import caller as callers
from services.gateway.access.caller import Caller
from services.gateway.access.policy import Need
from services.mesh.errors import Unauthenticated, VitrineError
from services.mesh.status import code_of

Flow = TypeVar("Flow")

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def guarded(flow: Flow, service: ServiceDescriptor, *, is_open: bool) -> Flow:
    """`flow`, whose methods named for the RPCs of `service` are only for callers who may.

    They raise PermissionDenied, and Unauthenticated where nobody has said who calls; with `is_open` anybody
    may do everything.
    """
    # What it adds to the flow has the types of the flow.
    return cast("Flow", _Guarded(flow, service, is_open=is_open))


class _Guarded:
    def __init__(self, flow: Any, service: ServiceDescriptor, *, is_open: bool) -> None:
        self._flow = flow
        self._is_open = is_open
        self._methods = {_WORD.sub("_", method.name).lower(): method for method in service.methods}

    def __getattr__(self, name: str) -> Any:
        """What the flow has under that name, guarded when it is an RPC; asked for once a name."""
        behaviour = getattr(self._flow, name)
        method = self._methods.get(name)
        found = behaviour if method is None else self._guard(behaviour, method)
        self.__dict__[name] = found
        return found

    def _guard(self, behaviour: Callable[[Any], Any], method: MethodDescriptor) -> Callable[[Any], Any]:
        need = policy.NEEDS[method.full_name]
        if need.is_write:
            return self._write(behaviour, method, need)
        if self._is_open:
            return behaviour
        return self._stream(behaviour, need) if method.server_streaming else self._read(behaviour, need)

    def _read(self, behaviour: Callable[[Any], Any], need: Need) -> Callable[[Any], Any]:
        async def call(request: Any) -> Any:
            need.check(self._caller(), request)
            return await behaviour(request)

        return call

    def _stream(self, behaviour: Callable[[Any], Any], need: Need) -> Callable[[Any], Any]:
        async def call(request: Any) -> AsyncIterator[Any]:
            need.check(self._caller(), request)
            async for response in behaviour(request):
                yield response

        return call

    def _write(
        self, behaviour: Callable[[Any], Any], method: MethodDescriptor, need: Need
    ) -> Callable[[Any], Any]:
        async def call(request: Any) -> Any:
            caller = self._caller()
            response, code = None, "OK"
            try:
                need.check(caller, request)
                response = await behaviour(request)
            except VitrineError as error:
                code = code_of(error).name
                raise
            except asyncio.CancelledError:
                # What was begun may come to its end all the same.
                code = "CANCELLED"
                raise
            except Exception:
                code = "INTERNAL"
                raise
            finally:
                audit.tell(
                    caller=caller,
                    method=method.name,
                    need=need,
                    request=request,
                    response=response,
                    code=code,
                )
            return response

        return call

    def _caller(self) -> Caller:
        caller = callers.current()
        if caller is not None:
            return caller
        if self._is_open:
            return callers.OPEN
        raise Unauthenticated("nobody has said who calls")
