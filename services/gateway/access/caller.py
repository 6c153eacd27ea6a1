"""The caller of the request in hand, known to everything that is done for it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from vitrine.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `apiKeys/{key}`, `jwt/{subject}` or `open`, and what they may do.

    `catalogs` holds the ids of the catalogues that they are limited to; all when empty. `rate_limit_per_s` is
    how many requests a second they may make, 0 for the deployment's default.
    """

    id: str
    scope: access_pb2.Scope.ValueType
    catalogs: frozenset[str] = frozenset()
    rate_limit_per_s: float = 0.0


OPEN = Caller("open", access_pb2.SCOPE_ADMIN)

_current: ContextVar[Caller | None] = ContextVar("vitrine_caller", default=None)


def current() -> Caller | None:
    """Whom the request in hand is from, or None before that is known."""
    return _current.get()


def enter(caller: Caller) -> None:
    """Let what follows in this task, and what it starts, be done for `caller`."""
    _current.set(caller)
