"""The chart's `values.yaml` with its comments: every value, its default, and the sentence above it.

A comment counts when its first line begins with `# -- `; it ends at the key under it. What introduces a map
of values needs no dashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent.parent / "deploy/helm/vitrine"

_FIRST = re.compile(r"^\s*# --(?: (.*))?$")
_NEXT = re.compile(r"^\s*# ?(.*)$")


@dataclass(frozen=True)
class Value:
    """One key of values.yaml: where it is, what stands there, and what is said of it.

    `description` is empty where there is no comment; `children` are those of a map.
    """

    path: tuple[str, ...]
    default: Any
    description: str
    line: int
    children: tuple[Value, ...]

    @property
    def dotted(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)

    def walk(self) -> Iterator[Value]:
        """This value and all below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(text: str) -> tuple[Value, ...]:
    """The values at the top of a YAML document; ValueError where it is no map."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml is a map of values")  # noqa: TRY004  (the content is wrong, not a type)
    return _children(root, (), text.splitlines())


def load(chart: Path = CHART) -> tuple[Value, ...]:
    """The values of the chart."""
    return parse((chart / "values.yaml").read_text(encoding="utf-8"))


def _children(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> tuple[Value, ...]:
    return tuple(_value(key, value, path, lines) for key, value in node.value)


def _value(key: yaml.ScalarNode, node: yaml.Node, path: tuple[str, ...], lines: list[str]) -> Value:
    here = (*path, key.value)
    return Value(
        path=here,
        default=_plain(node),
        description=_comment(lines, key.start_mark.line, plain=isinstance(node, yaml.MappingNode)),
        line=key.start_mark.line + 1,
        children=_children(node, here, lines) if isinstance(node, yaml.MappingNode) else (),
    )


def _plain(node: yaml.Node) -> Any:
    # The node came from composing, so what is left is to make an object of it.
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_document(node)


def _comment(lines: list[str], key: int, *, plain: bool) -> str:
    """The comment that ends above line `key`, counted from 0; only one with dashes counts unless `plain`."""
    words: list[str] = []
    for line in reversed(lines[:key]):
        if first := _FIRST.match(line):
            return " ".join([(first[1] or "").strip(), *reversed(words)]).strip()
        following = _NEXT.match(line)
        if following is None:
            break
        words.append(following[1].strip())
    return " ".join(reversed(words)).strip() if plain else ""
