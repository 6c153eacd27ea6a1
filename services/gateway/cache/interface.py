"""What a cache must do, whatever is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Kind = Literal["answer", "vector"]
"""What a value is, for those who count: the answer to a search, or the vectors of a part of one."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Cache(Protocol):
    """Bytes by key, for a while. It never fails: a cache that is away has nothing and takes nothing."""

    async def get(self, key: bytes, *, max_age_s: float, kind: Kind = "answer") -> bytes | None:
        """What was put under a key within the last `max_age_s` seconds."""

    async def put(self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float = 0.0) -> None:
        """Keep a value, which took `cost_s` seconds to make, for at most `ttl_s` seconds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A value as one cache hands it to another: its age and what is left of its time, in seconds."""

    value: bytes
    age_s: float
    left_s: float
    cost_s: float
