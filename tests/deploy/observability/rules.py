"""The chart's rules, as they are and with shorter times."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "helm" / "vitrine" / "rules"
FILES = ("recording", "alerts")

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WINDOW = re.compile(r"\[(\d+)([smhd])\]")
_DURATION = re.compile(r"^(\d+)([smhd])$")

_COMPARISON = re.compile(r"\s(?:==|!=|>=|<=|>|<)\s")
_SET_OPERATOR = re.compile(r"\b(?:and|unless)\b(?:\s+on\s*\([^)]*\))?")


def documents() -> list[dict[str, Any]]:
    """The content of the files of rules."""
    return [yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in FILES]


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules that `record`, or all that `alert`."""
    return [
        rule
        for document in documents()
        for group in document["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


def adapter_rules() -> list[dict[str, Any]]:
    """The rules of the Prometheus adapter."""
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / "adapter.yaml").read_text(encoding="utf-8"))[
        "rules"
    ]
    return found


def evaluated_each_second(document: Mapping[str, Any], *, times_shorter: int = 1) -> dict[str, Any]:
    """The same rules, evaluated every second, with windows and waits divided by `times_shorter`.

    No window becomes shorter than 5 seconds, which is five scrapes, and no wait shorter than 2.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    for group in changed["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = _WINDOW.sub(
                lambda found: f"[{max(_seconds(*found.groups()) // times_shorter, 5)}s]", rule["expr"]
            )
            if wait := _DURATION.match(rule.get("for", "")):
                rule["for"] = f"{max(_seconds(*wait.groups()) // times_shorter, 2)}s"
    return changed


def compared(expr: str) -> list[str]:
    """What an alert compares with its limits: the left side of every comparison."""
    return [_COMPARISON.split(part, maxsplit=1)[0].strip() for part in _SET_OPERATOR.split(expr)]


def _seconds(number: str, unit: str) -> int:
    return int(number) * _UNITS_S[unit]
