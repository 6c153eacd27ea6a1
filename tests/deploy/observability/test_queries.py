"""Every query of every panel and rule, asked of a real Prometheus that scrapes a mesh under load."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.observability.boards import BOARDS
from tests.deploy.observability import rules
from tests.deploy.observability.expressions import filled
from tests.deploy.observability.scenes import Scene
from tests.meshes import eventually

pytestmark = pytest.mark.integration

PANELS = [
    pytest.param(board.expression(series), id=f"{board.uid}: {panel.title}: {series.legend}")
    for board in BOARDS
    for row in board.rows
    for panel in row.panels
    for series in panel.series
]
ALERTS = [
    pytest.param(side, id=f"{rule['alert']}: {side[:40]}")
    for rule in rules.rules("alert")
    for side in rules.compared(rule["expr"])
]
RECORDED = [
    pytest.param(rule[what], id=f"{rule['record']}: {what}")
    for rule in rules.rules("record")
    for what in ("record", "expr")
]
ADAPTED = [pytest.param(rule, id=rule["seriesQuery"].partition("{")[0]) for rule in rules.adapter_rules()]


def _comes_to_something(scene: Scene, expr: str) -> None:
    eventually(lambda: bool(scene.prometheus.query(expr)), what=f"data for {expr}")


@pytest.mark.parametrize("expr", PANELS)
def test_a_panel_shows_something(scene: Scene, expr: str) -> None:
    """With everything chosen, the query has at least one series with a number."""
    _comes_to_something(scene, filled(expr))


@pytest.mark.parametrize("expr", ALERTS)
def test_what_an_alert_compares_is_there(scene: Scene, expr: str) -> None:
    """An alert on something that does not exist never fires, and nobody notices."""
    _comes_to_something(scene, expr)


@pytest.mark.parametrize("rule", rules.rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_speaks_of_labels_that_it_has(scene: Scene, rule: dict[str, Any]) -> None:
    """What its words name is a label of what it compares: others, its own too, would be left empty."""
    spoken = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    for sample in scene.prometheus.query(rules.compared(rule["expr"])[0]):
        assert spoken <= sample.labels.keys()


@pytest.mark.parametrize("expr", RECORDED)
def test_a_recording_rule_records(scene: Scene, expr: str) -> None:
    """The expression has a value, and so has the series that is made of it."""
    _comes_to_something(scene, expr)


def test_every_rule_can_be_evaluated(scene: Scene) -> None:
    """Prometheus finds nothing wrong with any of them."""

    def health() -> dict[str, str]:
        return {rule["name"]: rule["health"] for rule in scene.prometheus.rules()}

    eventually(lambda: "unknown" not in health().values(), what="every rule has been evaluated")
    found = health()
    assert set(found.values()) == {"ok"}
    assert len(found) == len({rule.get("record", rule.get("alert")) for rule in _all_rules()})


@pytest.mark.parametrize("rule", ADAPTED)
def test_autoscalers_find_a_number_for_each_pod(scene: Scene, rule: dict[str, Any]) -> None:
    """What the adapter asks for the pods of an autoscaler has one value for each of them."""

    def pods(query: str) -> set[str]:
        return {sample.labels["pod"] for sample in scene.prometheus.query(query)}

    def has_a_number_each() -> bool:
        there = pods(rule["seriesQuery"])
        query = (
            rule["metricsQuery"]
            .replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])
            .replace("<<.LabelMatchers>>", f'namespace="shop",pod=~"{"|".join(sorted(there))}"')
            .replace("<<.GroupBy>>", "pod")
        )
        return bool(there) and pods(query) == there

    # Who is not scraped for a moment is missing from one and not from the other.
    eventually(has_a_number_each, what="a number for each pod")


def _all_rules() -> list[dict[str, Any]]:
    return rules.rules("record") + rules.rules("alert")
