"""Filters as mappings: `{"gender": "Women", "colour": ["Red", "Pink"], "price": Range(10, 50)}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.mesh.errors import InvalidArgument
from vitrine.v1 import common_pb2

Value = str | float | bool


@dataclass(frozen=True)
class Range:
    """Numbers from `min` to `max`, both included; an end that is None is open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Exists:
    """Has any value at all, or none when `exists` is False."""

    exists: bool = True


@dataclass(frozen=True)
class Not:
    """Passes when `test` fails."""

    test: Value | Sequence[Value] | Range


Test = Value | Sequence[Value] | Range | Exists | Not

# All entries must hold. What a mapping cannot say, an OR over several attributes, is said with the message
# itself.
FilterSpec = Mapping[str, Test] | common_pb2.Filter


def to_message(spec: FilterSpec) -> common_pb2.Filter:
    """The message of a filter.

    Raises InvalidArgument naming the attribute when a test is of a type that no filter has.
    """
    if isinstance(spec, common_pb2.Filter):
        return spec
    clauses = [common_pb2.Clause(any_of=[condition(attribute, test)]) for attribute, test in spec.items()]
    return common_pb2.Filter(all_of=clauses)


def condition(attribute: str, test: Test) -> common_pb2.Condition:
    """The message of one test; raises as `to_message`."""
    if isinstance(test, Not):
        inner = condition(attribute, test.test)
        inner.negated = True
        return inner
    message = common_pb2.Condition(attribute=attribute)
    if isinstance(test, Range):
        message.range.CopyFrom(common_pb2.NumberRange(min=test.min, max=test.max))
    elif isinstance(test, Exists):
        message.exists = test.exists
    elif isinstance(test, str | bool | int | float):
        message.equals.CopyFrom(value_message(test, attribute))
    elif isinstance(test, Sequence | set | frozenset):
        in_values = [value_message(value, attribute) for value in test]
        getattr(message, "in").CopyFrom(common_pb2.AttributeValues(values=in_values))
    else:
        raise InvalidArgument(f"filter.{attribute}", f"{type(test).__name__} is not a test of an attribute")
    return message


def value_message(value: Value, attribute: str) -> common_pb2.AttributeValue:
    """The message of one value; raises InvalidArgument when it is no text, number or flag."""
    # A bool is an int in Python, so it is asked for first.
    if isinstance(value, bool):
        return common_pb2.AttributeValue(flag=value)
    if isinstance(value, int | float):
        return common_pb2.AttributeValue(number=value)
    if isinstance(value, str):
        return common_pb2.AttributeValue(text=value)
    raise InvalidArgument(attribute, f"{type(value).__name__} is not a text, a number or a flag")


def value_of(message: common_pb2.AttributeValue) -> Value:
    """The value in a message."""
    match message.WhichOneof("kind"):
        case "number":
            return message.number
        case "flag":
            return message.flag
        case _:
            return message.text
