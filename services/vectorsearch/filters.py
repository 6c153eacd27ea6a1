"""A typed filter over attributes, evaluated exactly for all products at once."""

from __future__ import annotations

from collections.abc import Sequence
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
        return Passing(self, columns, among).every_clause


class Passing:
    """Which products pass a filter, the whole of it and parts of it; every clause is tested once."""

    def __init__(self, narrowed: Filter, columns: Columns, among: Mask) -> None:
        """`among`, bool [slots], are the products that are tested; no others pass."""
        self._among = among
        self._clauses = [(clause, _holds(clause, columns, len(among))) for clause in narrowed.all_of]
        # Bool [slots].
        self.every_clause = self._all_hold([holds for _, holds in self._clauses])

    def beside(self, attribute: str) -> Mask:
        """Bool [slots]: those that pass without the clauses of which every condition is about the attribute.

        `every_clause` itself where there is no such clause.
        """
        others = [
            holds
            for clause, holds in self._clauses
            if any(condition.attribute != attribute for condition in clause)
        ]
        return self.every_clause if len(others) == len(self._clauses) else self._all_hold(others)

    def _all_hold(self, clauses: Sequence[Mask]) -> Mask:
        mask = self._among.copy()
        for holds in clauses:
            mask &= holds
        return mask


def _holds(clause: Sequence[Condition], columns: Columns, size: int) -> Mask:
    holds: Mask = np.zeros(size, dtype=np.bool_)
    for condition in clause:
        holds |= _outcome(condition, columns, size)
    return holds


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
