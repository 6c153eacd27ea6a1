"""What callers have asked and been told, to be judged by the log once it is known."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What a write does to a product."""

    UPSERT = "upsert"
    """States all of it anew."""
    DESCRIBE = "describe"
    """Changes two of its attributes, and leaves the rest as it was."""
    DELETE = "delete"


class Outcome(enum.Enum):
    """What became of a write, as far as its caller knows."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Write:
    """One write of one product.

    `version` names it, and is an attribute of the product that it leaves. `over` is the version that the
    product had to have, if any. Of one that is acknowledged `revision` is its place in the log, or, where
    `is_exact` is not set, the last one that it can have.
    """

    kind: Kind
    product_id: str
    version: str
    photo: int = 0
    over: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    revision: int = 0
    is_exact: bool = True


State = tuple[int, str]
"""The revision and the version of a product."""


@dataclass(frozen=True, slots=True)
class Read:
    """A product as it was read, None when it was not there.

    `floor` is the last revision of it that anybody had been told of when the read began.
    """

    product_id: str
    floor: int
    found: State | None


@dataclass(frozen=True, slots=True)
class Searched:
    """An answer to a search that was to bring all products: those that it brought, as they were.

    None for a product of which nothing but its name was known. It reflects all up to `revision`, and with
    `is_whole` every shard is in it; `floor` is the revision that was asked for.
    """

    floor: int
    revision: int
    is_whole: bool
    found: Mapping[str, State | None]


@dataclass
class History:
    """All of it."""

    writes: dict[str, Write] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)
    # The last revision of each product that anybody was told of, and that of the last acknowledged write.
    acknowledged: dict[str, int] = field(default_factory=dict)
    last: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def begin(self, write: Write) -> Write:
        """Note a write that is about to be made."""
        self.writes[write.version] = write
        return write

    def acknowledge(self, write: Write, revision: int, *, is_exact: bool = True) -> None:
        """Note that a write was acknowledged."""
        write.outcome, write.revision, write.is_exact = Outcome.ACKNOWLEDGED, revision, is_exact
        if is_exact:
            self.see(write.product_id, revision)
            self.last = max(self.last, revision)
        self.events[f"{write.kind.value} acknowledged"] += 1

    def see(self, product_id: str, revision: int) -> None:
        """Note that somebody was told of a revision of a product: nobody may be told of an older one."""
        self.acknowledged[product_id] = max(self.acknowledged.get(product_id, 0), revision)

    def refuse(self, write: Write) -> None:
        """Note that a write was refused."""
        write.outcome = Outcome.REFUSED
        self.events[f"{write.kind.value} refused"] += 1
