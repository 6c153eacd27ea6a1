"""Fitted weights as people, programs and `services.mesh.profiles` want them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from services.ranker.terms import VISUAL
from services.trainer.evaluation.bootstrap import Figure
from services.trainer.evaluation.naming import FIGURES
from services.trainer.weighing import Weighing

_DIGITS = 3


def document(weighing: Weighing) -> dict[str, Any]:
    """What `vitrine train weights --json` prints.

    `weights` has each fitted term as it was set by hand, as fitted, and as fitted on either half; `figures`
    each figure by both weights, with their difference for the same queries, as objects of `value`, `low`,
    `high` and `n`; `literals` entries of `services.mesh.profiles` by the name of what they belong into.
    """
    return {
        "profile": weighing.hand_set.name,
        "alike": list(weighing.choices.alike),
        "seed": weighing.choices.seed,
        "queries": weighing.queries,
        "answers": weighing.answers,
        "weights": {
            term: {
                "hand_set": _rounded(weighing.hand_set.weights, term),
                "fitted": _rounded(weighing.fitted.weights, term),
                "halves": [_rounded(half.weights, term) for half in weighing.halves],
            }
            for term in weighing.terms
        },
        "figures": {
            name: {
                "hand_set": each.hand_set.as_json(),
                "fitted": each.fitted.as_json(),
                "difference": each.difference.as_json(),
            }
            for name, each in weighing.figures.items()
        },
        "literals": literals(weighing),
        "warnings": list(weighing.warnings),
    }


def table(weighing: Weighing) -> Table:
    """What the weights are worth, each figure with its 95% interval, and the weights."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    shown.add_column(weighing.hand_set.name, no_wrap=True)
    for header in ("set by hand", "fitted", "difference", "of each half"):
        shown.add_column(header, justify="right", no_wrap=True)
    for name, each in weighing.figures.items():
        shown.add_row(FIGURES[name], _cell(each.hand_set), _cell(each.fitted), _cell(each.difference, "+"))
    shown.add_row()
    for term in weighing.terms:
        before, after, *halves = (
            profile.weights.get(term, 0.0)
            for profile in (weighing.hand_set, weighing.fitted, *weighing.halves)
        )
        shown.add_row(
            *(term, _short(before), _short(after), _short(after - before, "+")),
            " ".join(_short(half) for half in halves),
        )
    return shown


def literals(weighing: Weighing) -> dict[str, str]:
    """The profile as entries of the mappings in `services.mesh.profiles`, by the names of these."""
    weights = weighing.fitted.weights
    # A space that is not named there has a weight all the same, so one that got none says so.
    visual = {space: weights.get(VISUAL + space, 0.0) for space in weighing.spaces}
    meaning = {term: weight for term, weight in weights.items() if not term.startswith(VISUAL)}
    return {
        "_VISUAL_WEIGHTS": _entry(weighing.hand_set.name, visual.items()),
        "_MEANING_WEIGHTS": _entry(weighing.hand_set.name, meaning.items()),
    }


def _entry(profile: str, weights: Iterable[tuple[str, float]]) -> str:
    pairs = ", ".join(f'"{name}": {round(weight, _DIGITS)}' for name, weight in weights)
    return f'"{profile}": {{{pairs}}},'


def _rounded(weights: Mapping[str, float], term: str) -> float:
    return round(weights.get(term, 0.0), _DIGITS)


def _cell(figure: Figure, sign: str = "") -> str:
    """A figure with half of its interval, the wider one."""
    half = max(figure.value - figure.low, figure.high - figure.value)
    return f"{_short(figure.value, sign)} ±{_short(half)}"


def _short(value: float, sign: str = "") -> str:
    """Three digits behind the point, and before it none that is 0."""
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.{_DIGITS}f}")
