from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.observability.boards import BOARDS, path, text
from deploy.observability.panels import OUTCOMES, Board
from tests.deploy.observability import rules
from tests.deploy.observability.expressions import filled, names
from tests.deploy.observability.scenes import Scene
from tests.meshes import eventually

boards = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)

# What Prometheus adds to everything that it scrapes.
TARGET_LABELS = {"namespace", "pod", "component", "set", "shard", "job", "instance"}


def panels(board: Board) -> list[dict[str, Any]]:
    document = json.loads(path(board).read_text(encoding="utf-8"))
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every query there is, by where it is."""
    found = {
        f"{board.uid} {panel['title']} {target['refId']}": target["expr"]
        for board in BOARDS
        for panel in panels(board)
        for target in panel["targets"]
    }
    for kind in ("record", "alert"):
        found |= {f"{rule[kind]} {number}": rule["expr"] for number, rule in enumerate(rules.rules(kind))}
    return found


def test_the_chart_has_the_dashboards_of_the_code() -> None:
    """`--check` finds no difference, so nobody edits what is generated."""
    run = subprocess.run(
        [sys.executable, "-m", "deploy.observability", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


@boards
def test_grafana_would_read_it(board: Board) -> None:
    """The SDK's own models of Grafana's format take the file and give the same back."""
    register_default_plugins()
    document = json.loads(text(board))
    read = Dashboard.from_json(document)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == document


@boards
def test_every_panel_says_what_it_shows(board: Board) -> None:
    """A title, a description in sentences, a unit, a step of colour to begin with, and named series."""
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert len(panel["description"].split()) >= 2
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["legendFormat"] for target in panel["targets"])
        assert all("namespace=~" in target["expr"] for target in panel["targets"]), panel["title"]


@boards
def test_panels_fill_the_screen_without_covering_one_another(board: Board) -> None:
    """No two share a place, and none reaches over the edge."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_first_thing_to_see_is_the_slowest_stage() -> None:
    """The dashboard to begin with begins with that, in its upper left corner."""
    first = panels(BOARDS[0])[0]
    assert (first["title"], first["type"]) == ("Slowest stages now, p95", "bargauge")
    assert (first["gridPos"]["x"], first["gridPos"]["y"]) == (0, 1)


def test_names_are_stable_and_unique() -> None:
    """Links to a dashboard go on working: its uid is part of the address."""
    assert [board.uid for board in BOARDS] == [
        "vitrine-overview",
        "vitrine-embedder",
        "vitrine-vectorsearch",
        "vitrine-ranking",
        "vitrine-writes",
    ]
    for board in BOARDS:
        variables = json.loads(text(board))["templating"]["list"]
        wanted = ["datasource", "namespace", *(["pod"] if board.component else [])]
        assert [variable["name"] for variable in variables] == wanted


@pytest.mark.integration
@boards
def test_outcomes_are_told_apart_by_their_colours(scene: Scene, board: Board) -> None:
    """Every outcome that the mesh tells has its colour, and another one than its neighbours."""
    for row in board.rows:
        for panel in row.panels:
            for series in panel.series:
                if series.legend != "{{outcome}}":
                    continue
                found = scene.prometheus.query(filled(board.expression(series)))
                outcomes = {sample.labels["outcome"] for sample in found}
                colours = {OUTCOMES.get(outcome) for outcome in outcomes}
                assert None not in colours, f"{panel.title}: {outcomes - OUTCOMES.keys()}"
                assert len(colours) == len(outcomes), f"{panel.title}: {outcomes}"


@pytest.mark.integration
def test_every_metric_and_label_exists(scene: Scene) -> None:
    """What panels and rules name is what the mesh tells, or what a rule records."""
    recorded = {rule["record"] for rule in rules.rules("record")}

    def labels(metric: str) -> set[str]:
        """Those of a metric, once anybody tells it."""
        eventually(lambda: bool(scene.prometheus.metadata_labels(metric)), what=f"somebody tells {metric}")
        return scene.prometheus.metadata_labels(metric)

    for where, expr in expressions().items():
        asked = names(filled(expr))
        known = {metric: labels(metric) for metric in asked.matched}
        for metric, matched in asked.matched.items():
            own = known[metric] | ({"namespace"} if metric in recorded else TARGET_LABELS)
            assert matched <= own, f"{where}: {metric} has no {matched - own}"
        grouped = set().union(*known.values(), {"namespace"})
        assert asked.grouped <= grouped, f"{where}: none has {asked.grouped - grouped}"
