"""One HTTP application for all gateways with the same settings: to make it takes longer than most tests."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from dataclasses import replace
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.http import create_app
from tests.gateway.http.fakes import Flows, HttpSettings

_asked: ContextVar[Flows] = ContextVar("asked")


class _Asked:
    """Stands for the flow of this name of that gateway which is asked."""

    def __init__(self, name: str) -> None:
        self._of = attrgetter(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of(_asked.get()), name)


class App:
    """The application over these flows: what is asked here is asked of them, whatever happens meanwhile."""

    def __init__(self, settings: HttpSettings, flows: Flows) -> None:
        self.state = State()
        # Where it listens is all one to it.
        self._app = _app(replace(settings, http_port=0))
        self._flows = flows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Each request has a task of its own, and so has what is started in it.
        token = _asked.set(self._flows)
        try:
            await self._app(scope, receive, send)
        finally:
            _asked.reset(token)


@functools.cache
def _app(settings: HttpSettings) -> ASGIApp:
    access = SimpleNamespace(flow=_Asked("access.flow"), gatekeeper=_Asked("access.gatekeeper"))
    flows = {name: _Asked(name) for name in ("search", "catalog", "queries", "status", "media")}
    gateway: Any = SimpleNamespace(access=access, **flows)
    return create_app(settings, gateway)
