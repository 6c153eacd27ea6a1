"""A typed filter over attributes, evaluated exactly for all products at once."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from services.vectorsearch.columns import Columns, Mask, Value


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Equal to one of these values."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A number in this closed range."""

    minimum: float = -inf
    maximum: float = inf


@dataclass(frozen=True, slots=True)
class Exists:
    """Any value at all, or none."""

    exists: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one attribute; a product passes when any of its values does. `negated` turns that round."""

    attribute: str
    test: AnyOf | Between | Exists
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """All of the clauses must hold; a clause holds when any of its conditions does."""

    all_of: tuple[tuple[Condition, ...], ...] = ()

    def attributes(self) -> list[str]:
        """The attributes it tests, each once, in order."""
        return list(dict.fromkeys(condition.attribute for clause in self.all_of for condition in clause))

    def passing(self, columns: Columns, among: Mask) -> Mask:
        """Those of `among`, bool [slots], that pass. An attribute that is not known is absent everywhere."""
        mask = among.copy()
        for clause in self.all_of:
            holds: Mask = np.zeros(len(among), dtype=np.bool_)
            for condition in clause:
                holds |= _outcome(condition, columns, len(among))
            mask &= holds
        return mask


def _outcome(condition: Condition, columns: Columns, size: int) -> Mask:
    column = columns.get(condition.attribute)
    outcome: Mask
    match condition.test:
        case AnyOf(values):
            outcome = column.any_of(values, size) if column else np.zeros(size, dtype=np.bool_)
        case Between(minimum, maximum):
            outcome = column.between(minimum, maximum, size) if column else np.zeros(size, dtype=np.bool_)
        case Exists(exists):
            has = column.exists(size) if column else np.zeros(size, dtype=np.bool_)
            outcome = has if exists else ~has
    return ~outcome if condition.negated else outcome
