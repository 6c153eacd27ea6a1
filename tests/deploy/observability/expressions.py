"""The names in a PromQL expression: its metrics, with the labels that are asked of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:$])([a-zA-Z_:][\w:]*)(?![\w:])\s*(\{[^}]*\})?(?!\s*\()")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_RANGE = re.compile(r"\[[^\]]*\]")
_KEYWORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool"}


@dataclass(frozen=True)
class Names:
    """Labels that are matched, by metric, and those that are grouped or joined by, of any of them."""

    matched: Mapping[str, frozenset[str]]
    grouped: frozenset[str]


def names(expr: str) -> Names:
    """The names in an expression without subqueries over names of its own."""
    bare = _RANGE.sub("", _STRING.sub('""', expr))
    grouped = {
        label.strip() for found in _GROUPING.findall(bare) for label in found.split(",") if label.strip()
    }
    bare = _GROUPING.sub(" ", bare)
    matched: dict[str, frozenset[str]] = {}
    for metric, matchers in _SELECTOR.findall(bare):
        if metric not in _KEYWORDS:
            matched[metric] = matched.get(metric, frozenset()) | frozenset(_MATCHER.findall(matchers))
    return Names(matched, frozenset(grouped))


def filled(expr: str) -> str:
    """A dashboard's expression with everything chosen, over half a minute."""
    return (
        expr.replace("$__rate_interval", "30s")
        .replace("$namespace", ".*")
        .replace("$pod", ".*")
        .replace("${datasource}", "")
    )
