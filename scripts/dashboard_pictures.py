"""Draw what the dashboards show, for the documentation: `python -m scripts.dashboard_pictures`.

No Grafana takes part. A mesh runs under load for some minutes, in which a shard stands still for a while.
A real Prometheus answers the dashboards' own queries, and matplotlib draws the answers where the panels lie.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from deploy.observability.boards import BOARDS
from deploy.observability.panels import OUTCOMES, Board, Panel, Series, Style
from tests.deploy.observability.expressions import filled
from tests.deploy.observability.prometheus import Prometheus
from tests.deploy.observability.scenes import played
from tests.drawings import write_catalog

DOCS = Path(__file__).parents[1] / "docs"
SHOWN_S, CALM_S, STILL_S = 180.0, 110.0, 8.0
STEP_S = 2.0
_DPI, _WIDTH_IN, _CELL_IN = 96, 15.0, 0.27
_MOST_BARS, _MOST_SERIES, _MOST_NAMES = 12, 14, 8

_GROUND, _PANEL, _TEXT, _GRID = "#111217", "#181b1f", "#d0d1d6", "#2c3036"
_COLOURS = [
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9",
    "#705da0", "#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a437c",
]  # fmt: skip
_NAMED = {
    "green": "#73bf69", "blue": "#5794f2", "purple": "#b877d9", "yellow": "#fade2a", "orange": "#ff9830",
    "red": "#f2495c", "dark-red": "#c4162a",
}  # fmt: skip
# A name, and points in seconds from now.
_Drawn = tuple[str, list[float], list[float]]

_FACTORS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def main() -> None:
    """Write a picture of each dashboard."""
    mpl.rcParams.update({"font.size": 7, "text.color": _TEXT, "font.family": "DejaVu Sans"})
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with played(directory, write_catalog(directory / "catalog")) as scene:
            # The pictures are of the last minutes, which have to pass.
            time.sleep(CALM_S)
            with scene.mesh.hanging("vectorsearch-1"):
                time.sleep(STILL_S)
            time.sleep(SHOWN_S - CALM_S - STILL_S)
            for board in BOARDS:
                _draw(board, scene.prometheus, DOCS / f"{board.uid.replace('vitrine', 'dashboard')}.png")


def _draw(board: Board, prometheus: Prometheus, file: Path) -> None:
    cells = sum(1 + sum(line[0].height for line in _lines(row.panels)) for row in board.rows) + 1
    figure = Figure(figsize=(_WIDTH_IN, cells * _CELL_IN), dpi=_DPI, facecolor=_GROUND)
    figure.text(0.006, 1 - 0.6 / cells, board.title, fontsize=11, weight="bold", va="center")
    down = 1.0
    for row in board.rows:
        figure.text(0.006, 1 - (down + 0.55) / cells, row.title, fontsize=9, weight="bold", va="center")
        down += 1
        for line in _lines(row.panels):
            right = 0
            for panel in line:
                place = (
                    right / 24 + 0.004,
                    1 - (down + panel.height) / cells + 0.1 / cells,
                    panel.width / 24 - 0.006,
                    (panel.height - 0.25) / cells,
                )
                _panel(figure, place, cells, board, panel, prometheus)
                right += panel.width
            down += line[0].height
    figure.savefig(file, facecolor=_GROUND)
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(64).save(file, optimize=True)


def _lines(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels as they come to lie beside one another."""
    lines: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(each.width for each in lines[-1]) + panel.width > 24:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _panel(
    figure: Figure,
    place: tuple[float, float, float, float],
    cells: int,
    board: Board,
    panel: Panel,
    prometheus: Prometheus,
) -> None:
    left, bottom, width, height = place
    ground = figure.add_axes(place, facecolor=_PANEL)
    ground.set(xticks=[], yticks=[])
    for spine in ground.spines.values():
        spine.set_color(_GRID)
    figure.text(left + 0.005, bottom + height - 0.45 / cells, panel.title, fontsize=8, va="center")
    if panel.style is Style.NUMBERS:
        _numbers(figure, place, board, panel, prometheus)
        return
    if panel.style is Style.BARS:
        inner = (left + 0.38 * width, bottom + 0.4 / cells, 0.56 * width, height - 1.4 / cells)
        _bars(figure.add_axes(inner, facecolor=_PANEL), board, panel, prometheus)
        return
    inner = (left + 0.034, bottom + 1.9 / cells, width - 0.042, height - 2.9 / cells)
    _graph(figure.add_axes(inner, facecolor=_PANEL), board, panel, prometheus)


def _numbers(
    figure: Figure,
    place: tuple[float, float, float, float],
    board: Board,
    panel: Panel,
    prometheus: Prometheus,
) -> None:
    left, bottom, width, height = place
    for series in panel.series:
        for sample in prometheus.query(filled(board.expression(series))):
            figure.text(
                left + width / 2,
                bottom + height / 2.3,
                _said(sample.value, panel.unit),
                fontsize=18,
                ha="center",
                va="center",
                color=_colour(panel, sample.value),
            )


def _bars(axes: Axes, board: Board, panel: Panel, prometheus: Prometheus) -> None:
    found = [
        (_named(series, sample.labels), sample.value)
        for series in panel.series
        for sample in prometheus.query(filled(board.expression(series)))
    ]
    found = sorted(found, key=lambda one: -one[1])[:_MOST_BARS][::-1]
    axes.barh(range(len(found)), [value for _, value in found], color=[_colour(panel, v) for _, v in found])
    longest = max((value for _, value in found), default=1.0) or 1.0
    axes.set(xlim=(0, 1.25 * longest), xticks=[], ylim=(-0.6, max(len(found), 3) - 0.4))
    axes.set_yticks(range(len(found)), [name for name, _ in found], color=_TEXT)
    for at, (_, value) in enumerate(found):
        axes.text(value + longest / 50, at, _said(value, panel.unit), va="center", fontsize=7)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _line_colour(name: str, number: int) -> str:
    return _NAMED[OUTCOMES[name]] if name in OUTCOMES else _COLOURS[number % len(_COLOURS)]


def _graph(axes: Axes, board: Board, panel: Panel, prometheus: Prometheus) -> None:
    now = time.time()
    areas: list[_Drawn] = []
    lines: list[_Drawn] = []
    for series in panel.series:
        for labels, points in prometheus.query_range(
            filled(board.expression(series)), until=now, last_s=SHOWN_S, step_s=STEP_S
        ):
            if all(math.isnan(value) for _, value in points):
                continue
            drawn = (_named(series, labels), [at - now for at, _ in points], [value for _, value in points])
            is_area = panel.style is Style.STACKED and not series.over
            (areas if is_area else lines).append(drawn)
    used = 0
    if areas:
        # Where a series has no point it adds nothing.
        times = sorted({at for _, ats, _ in areas for at in ats})
        stacks = [
            [dict(zip(ats, values, strict=True)).get(at, 0.0) for at in times] for _, ats, values in areas
        ]
        axes.stackplot(
            times,
            [[0.0 if math.isnan(value) else value for value in stack] for stack in stacks],
            labels=[name for name, _, _ in areas],
            colors=[_line_colour(name, number) for number, (name, _, _) in enumerate(areas)],
            alpha=0.75,
        )
        used = len(areas)
    for number, (name, ats, values) in enumerate(lines[:_MOST_SERIES]):
        colour = "#ffffff" if areas else _line_colour(name, used + number)
        axes.plot(ats, values, label=name, lw=1.1, color=colour)
    axes.set_xlim(-SHOWN_S, 0)
    _, top = axes.get_ylim()
    axes.set_ylim(panel.low if panel.low is not None else None, panel.high or max(top, 1e-9))
    for limit, colour in panel.steps:
        if axes.get_ylim()[0] < limit < axes.get_ylim()[1]:
            axes.axhline(limit, color=_NAMED[colour], lw=0.8, ls="--")
    axes.grid(color=_GRID, lw=0.5)
    axes.tick_params(colors=_TEXT, labelsize=6, length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:.0f} s" if at else "now"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _said(value, panel.unit)))
    for spine in axes.spines.values():
        spine.set_visible(False)
    if areas or lines:
        handles, names = axes.get_legend_handles_labels()
        axes.legend(
            handles[:_MOST_NAMES],
            names[:_MOST_NAMES],
            loc="upper left",
            bbox_to_anchor=(-0.06, -0.13),
            ncols=4 if panel.width >= 8 else 3,
            fontsize=5.5,
            frameon=False,
            labelcolor=_TEXT,
            handlelength=1,
            columnspacing=0.8,
            borderaxespad=0,
        )


def _named(series: Series, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), series.legend).strip() or "-"


def _colour(panel: Panel, value: float) -> str:
    passed = [colour for limit, colour in panel.steps if value >= limit]
    return _NAMED[passed[-1] if passed else panel.base]


def _said(value: float, unit: str) -> str:
    """A value as Grafana would say it, more or less."""
    written: dict[str, Any] = {
        "s": lambda: _seconds(value),
        "percentunit": lambda: f"{value * 100:.3g}%",
        "reqps": lambda: f"{_short(value)}/s",
        "cps": lambda: f"{_short(value)}/s",
        "bytes": lambda: f"{_short(value)}B",
    }
    return str(written.get(unit, lambda: _short(value))())


def _seconds(value: float) -> str:
    if abs(value) >= 120:
        return f"{value / 60:.3g} min"
    return f"{value:.3g} s" if abs(value) >= 1 or not value else f"{value * 1e3:.3g} ms"


def _short(value: float) -> str:
    for factor, letter in _FACTORS:
        if abs(value) >= factor:
            return f"{value / factor:.3g} {letter}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
