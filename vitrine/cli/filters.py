"""Filters in the words of a command line: `gender=Women`, `gender!=Men`, `price=10..50`, `price=..50`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.mesh.errors import InvalidArgument

if TYPE_CHECKING:
    from vitrine.v1 import common_pb2

_EXPRESSION = re.compile(r"\s*([a-z][a-z0-9_.]*)\s*(!?=)\s*(.+?)\s*", re.DOTALL)
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


def parse(expressions: Sequence[str]) -> common_pb2.Filter | None:
    """The filter that expressions say together; None for no expression.

    Expressions of different attributes must all hold, of one attribute any. A word that reads as a number or
    as true or false matches attributes of either type. Raises InvalidArgument for what is no expression.
    """
    from vitrine.v1 import common_pb2

    any_of: dict[str, list[common_pb2.Condition]] = {}
    excluded: list[common_pb2.Condition] = []
    for expression in expressions:
        attribute, negated, tests = _parse(expression)
        for test in tests:
            if negated:
                test.negated = True
                excluded.append(test)
            else:
                any_of.setdefault(attribute, []).append(test)
    clauses = [common_pb2.Clause(any_of=conditions) for conditions in any_of.values()]
    clauses += [common_pb2.Clause(any_of=[condition]) for condition in excluded]
    return common_pb2.Filter(all_of=clauses) if clauses else None


def _parse(expression: str) -> tuple[str, bool, list[common_pb2.Condition]]:
    from vitrine.client.filters import Range, Test, condition

    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise InvalidArgument("filter", f"{expression!r} is not attribute=value, attribute!=value or a range")
    attribute, operator, word = match.groups()
    tests: list[Test] = [word]
    if ends := _RANGE.fullmatch(word):
        low, high = ends.groups()
        tests = [Range(float(low) if low else None, float(high) if high else None)]
    elif re.fullmatch(_NUMBER, word):
        tests.append(float(word))
    elif word.lower() in ("true", "false"):
        tests.append(word.lower() == "true")
    return attribute, operator == "!=", [condition(attribute, test) for test in tests]
