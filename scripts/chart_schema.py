"""`values.schema.json` of the chart, from values.yaml, the shapes beside it and the services' settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scripts import chart_settings, chart_shapes
from scripts.chart_shapes import Schema
from scripts.chart_values import Value

# A map of the user's own names to what may stand beside it, with the form of those names:
# `embedder.classes.cuda` may have any key of `embedder`.
VARIANTS = {"embedder.classes": chart_shapes.CLASS, "vectorsearch.sets": chart_shapes.SET}


class Untold(ValueError):
    """A value of which nobody has said what it is for, or what it looks like."""


def schema(values: Iterable[Value]) -> dict[str, Any]:
    """The whole schema, JSON Schema draft 7; Untold where a value has no description or no shape."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of Vitrine's chart",
        "type": "object",
        "additionalProperties": False,
        "properties": {value.path[-1]: of(value) for value in values},
    }


def of(value: Value) -> Schema:
    """The schema of one value, with its description."""
    described = {"description": value.description} if value.description else {}
    return described | _shape(value)


def _shape(value: Value) -> Schema:
    if value.path[1:] == ("settings",) and value.path[0] in chart_settings.SERVICES:
        return chart_settings.schema(value.path[0])
    if value.dotted in VARIANTS:
        raise Untold(f"{value.dotted} is a variant of what is around it")
    known = chart_shapes.shape(value.dotted)
    if known is None and not value.children:
        known = _inferred(value)
    if not value.description and not value.children:
        raise Untold(f"values.yaml:{value.line}: {value.dotted} has no comment")
    return known if known is not None else _map(value)


def _map(value: Value) -> Schema:
    variants = [child for child in value.children if child.dotted in VARIANTS]
    own = {child.path[-1]: of(child) for child in value.children if child not in variants}
    own |= chart_shapes.more(value.dotted)
    whole = dict(own)
    for variant in variants:
        one = own | _only_in(variant, own)
        for name in _OF_THE_WHOLE & one.keys():
            del one[name]
        whole[variant.path[-1]] = {
            "description": variant.description,
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "patternProperties": {
                VARIANTS[variant.dotted]: {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": one,
                }
            },
        }
    return {"type": "object", "additionalProperties": False, "properties": whole}


# What is said of all sets together.
_OF_THE_WHOLE = {"current", "next"}


def _only_in(variant: Value, own: Iterable[str]) -> dict[str, Schema]:
    """What a variant has that stands nowhere beside it: `enabled` of a class, `shards` of a set."""
    component = variant.path[:-1]
    found: dict[str, Schema] = {}
    for one in variant.children:
        for child in one.children:
            if child.path[-1] not in own:
                # As if it stood in the component: shapes know no names of variants.
                found.setdefault(
                    child.path[-1],
                    of(
                        Value(
                            (*component, child.path[-1]),
                            child.default,
                            child.description,
                            child.line,
                            child.children,
                        )
                    ),
                )
    return found


def _inferred(value: Value) -> Schema:
    match value.default:
        case bool():
            return {"type": "boolean"}
        case int():
            return dict(chart_shapes.COUNT)
        case float():
            return {"type": "number"}
        case str():
            return dict(chart_shapes.TEXT)
        case _:
            raise Untold(f"values.yaml:{value.line}: {value.dotted} has no shape; say it in chart_shapes.py")
