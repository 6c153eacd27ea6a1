"""Filters in the words of a command line: `gender=Women`, `gender!=Men`, `price=10..50`, `price=..50`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.mesh.errors import InvalidArgument

if TYPE_CHECKING:
    from vitrine.v1 import common_pb2

_EXPRESSION = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.]*)\s*(!?=)\s*(.+?)\s*", re.DOTALL)
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")
_PATH = re.compile(r"filter\.all_of\[(\d+)\](?:\.any_of\[(\d+)\])?.*")


def parse(expressions: Sequence[str]) -> common_pb2.Filter | None:
    """The filter that expressions say together; None for no expression.

    Expressions of different attributes must all hold, of one attribute any. Names of attributes have no
    capitals, so those typed are made small. A word that reads as a number or as true or false matches
    attributes of either type. Raises InvalidArgument for what is no expression.
    """
    from vitrine.v1 import common_pb2

    clauses = [
        common_pb2.Clause(any_of=[condition for _, condition in clause]) for clause in _clauses(expressions)
    ]
    return common_pb2.Filter(all_of=clauses) if clauses else None


def expression_at(expressions: Sequence[str], field: str) -> str | None:
    """The expression that a field of their filter, such as `filter.all_of[0].any_of[1]`, was made of."""
    found = _PATH.fullmatch(field)
    if found is None:
        return None
    clause, condition = (int(place or 0) for place in found.groups())
    return _clauses(expressions)[clause][condition][0]


def compared(expressions: Sequence[str]) -> list[str]:
    """The attributes that expressions compare with values, ranges apart, each once."""
    attributes = (
        condition.attribute
        for clause in _clauses(expressions)
        for _, condition in clause
        if condition.HasField("equals")
    )
    return list(dict.fromkeys(attributes))


def _clauses(expressions: Sequence[str]) -> list[list[tuple[str, common_pb2.Condition]]]:
    """The conditions of each clause, with the expression that each was made of."""
    any_of: dict[str, list[tuple[str, common_pb2.Condition]]] = {}
    excluded: list[tuple[str, common_pb2.Condition]] = []
    for expression in expressions:
        attribute, negated, tests = _parse(expression)
        for test in tests:
            if negated:
                test.negated = True
                excluded.append((expression, test))
            else:
                any_of.setdefault(attribute, []).append((expression, test))
    return [*any_of.values(), *([each] for each in excluded)]


def split(expression: str) -> tuple[str, str, str]:
    """The attribute, the operator (`=` or `!=`) and the word of an expression.

    Raises InvalidArgument for what is no expression.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise InvalidArgument(
            "filter",
            f"{expression!r} is not attribute=value, attribute!=value or attribute=low..high; "
            "attributes are letters, digits and underscores",
        )
    attribute, operator, word = match.groups()
    return attribute.lower(), operator, word


def ends(word: str) -> tuple[str, str] | None:
    """The ends of a range such as `10..50`, empty where open; None for a word that is no range."""
    match = _RANGE.fullmatch(word)
    return (match[1] or "", match[2] or "") if match else None


def _parse(expression: str) -> tuple[str, bool, list[common_pb2.Condition]]:
    from vitrine.client.filters import Range, Test, condition

    attribute, operator, word = split(expression)
    tests: list[Test] = [word]
    if found := ends(word):
        low, high = found
        tests = [Range(float(low) if low else None, float(high) if high else None)]
    elif re.fullmatch(_NUMBER, word):
        tests.append(float(word))
    elif word.lower() in ("true", "false"):
        tests.append(word.lower() == "true")
    return attribute, operator == "!=", [condition(attribute, test) for test in tests]
