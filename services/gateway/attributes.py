"""The rules for attributes and filters that callers give."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from services.mesh.errors import InvalidArgument
from vitrine.v1 import common_pb2, vectorsearch_pb2

MAX_ATTRIBUTES = 64
MAX_VALUES = 32
MAX_TEXT_CHARACTERS = 256
MAX_CLAUSES = 16
MAX_CONDITIONS = 64
MAX_IN_VALUES = 1_000

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CONDITION_NAME = re.compile(r"(?:inferred\.)?[a-z][a-z0-9_]{0,63}")


def is_name(name: str) -> bool:
    """Whether an attribute can be called so."""
    return _NAME.fullmatch(name) is not None


def check_attributes(attributes: Mapping[str, common_pb2.AttributeValues], field: str) -> None:
    """Raise InvalidArgument for attributes that a product cannot have."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidArgument(field, f"at most {MAX_ATTRIBUTES} attributes")
    for name, values in attributes.items():
        if not is_name(name):
            raise InvalidArgument(
                f"{field}[{name[:80]}]", "a name is a letter and then at most 63 of a-z, 0-9 and _"
            )
        if not 1 <= len(values.values) <= MAX_VALUES:
            raise InvalidArgument(f"{field}[{name}]", f"1 to {MAX_VALUES} values")
        for index, value in enumerate(values.values):
            check_value(value, f"{field}[{name}].values[{index}]")


def check_value(value: common_pb2.AttributeValue, field: str) -> None:
    """Raise InvalidArgument for what is no value."""
    kind = value.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(field, "has no value")
    if kind == "text" and not 1 <= len(value.text) <= MAX_TEXT_CHARACTERS:
        raise InvalidArgument(f"{field}.text", f"1 to {MAX_TEXT_CHARACTERS} characters")
    if kind == "number" and not math.isfinite(value.number):
        raise InvalidArgument(f"{field}.number", "is not finite")


def check_facets(facets: Sequence[str], *, most: int) -> None:
    """Raise InvalidArgument for facets that cannot be counted."""
    if len(facets) > most:
        raise InvalidArgument("facets", f"at most {most}")
    for index, facet in enumerate(facets):
        if not _CONDITION_NAME.fullmatch(facet):
            raise InvalidArgument(f"facets[{index}]", "is not the name of an attribute")
        if facet in facets[:index]:
            raise InvalidArgument(f"facets[{index}]", "is there twice")


def check_group(group_by: vectorsearch_pb2.GroupBy, *, most: int) -> None:
    """Raise InvalidArgument for a cap that makes no sense."""
    if not _CONDITION_NAME.fullmatch(group_by.attribute):
        raise InvalidArgument("group_by.attribute", "is not the name of an attribute")
    if not 1 <= group_by.size <= most:
        raise InvalidArgument("group_by.size", f"must be 1 to {most}")


def check_filter(wanted: common_pb2.Filter) -> None:
    """Raise InvalidArgument for a filter that cannot be evaluated."""
    if len(wanted.all_of) > MAX_CLAUSES:
        raise InvalidArgument("filter.all_of", f"at most {MAX_CLAUSES} clauses")
    for index, clause in enumerate(wanted.all_of):
        if not 1 <= len(clause.any_of) <= MAX_CONDITIONS:
            raise InvalidArgument(f"filter.all_of[{index}].any_of", f"1 to {MAX_CONDITIONS} conditions")
    for field, condition in conditions(wanted):
        _check_condition(condition, field)


def conditions(wanted: common_pb2.Filter) -> Iterator[tuple[str, common_pb2.Condition]]:
    """Every condition of a filter with its field."""
    for outer, clause in enumerate(wanted.all_of):
        for inner, condition in enumerate(clause.any_of):
            yield f"filter.all_of[{outer}].any_of[{inner}]", condition


def _check_condition(condition: common_pb2.Condition, field: str) -> None:
    if not _CONDITION_NAME.fullmatch(condition.attribute):
        raise InvalidArgument(f"{field}.attribute", "is not the name of an attribute")
    test = condition.WhichOneof("test")
    if test is None:
        raise InvalidArgument(field, "has no test: one of equals, in, range, exists")
    if test == "equals":
        check_value(condition.equals, f"{field}.equals")
    elif test == "in":
        values: Sequence[common_pb2.AttributeValue] = getattr(condition, "in").values
        if not 1 <= len(values) <= MAX_IN_VALUES:
            raise InvalidArgument(f"{field}.in", f"1 to {MAX_IN_VALUES} values")
        for index, value in enumerate(values):
            check_value(value, f"{field}.in.values[{index}]")
    elif test == "range":
        _check_range(condition.range, f"{field}.range")


def _check_range(wanted: common_pb2.NumberRange, field: str) -> None:
    ends = [
        end
        for end, has in ((wanted.min, wanted.HasField("min")), (wanted.max, wanted.HasField("max")))
        if has
    ]
    if not ends:
        raise InvalidArgument(field, "has neither min nor max")
    if any(math.isnan(end) for end in ends) or ends != sorted(ends):
        raise InvalidArgument(field, "min must not be above max")
