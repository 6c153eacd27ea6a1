"""API keys as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from vitrine.client.moments import moment_of
from vitrine.v1 import access_pb2

Scope = Literal["search", "write", "admin"]

SCOPES: Mapping[Scope, access_pb2.Scope.ValueType] = {
    "search": access_pb2.SCOPE_SEARCH,
    "write": access_pb2.SCOPE_WRITE,
    "admin": access_pb2.SCOPE_ADMIN,
}
_SCOPE_NAMES = {number: name for name, number in SCOPES.items()}


@dataclass(frozen=True)
class ApiKey:
    """A key: what it allows, in which catalogues (all when empty), how often and how long.

    A rate limit of 0 is the deployment's.
    """

    id: str
    display_name: str
    scope: str
    catalogs: Sequence[str]
    rate_limit_per_s: float
    created: datetime | None
    expires: datetime | None


@dataclass(frozen=True)
class CreatedKey:
    """A key and its secret, which is what callers send, and is told this once."""

    key: ApiKey
    secret: str = field(repr=False)


def key_of(message: access_pb2.ApiKey) -> ApiKey:
    """The key in a message."""
    return ApiKey(
        id=message.name.rpartition("/")[2],
        display_name=message.display_name,
        scope=_SCOPE_NAMES.get(message.scope, ""),
        catalogs=tuple(name.rpartition("/")[2] for name in message.catalogs),
        rate_limit_per_s=message.rate_limit_per_s,
        created=moment_of(message, "create_time"),
        expires=moment_of(message, "expire_time"),
    )
