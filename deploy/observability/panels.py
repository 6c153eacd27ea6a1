"""What the dashboards are made of: a few kinds of panels, alike in everything that should not differ.

In an expression `{@` stands for the filter that the dashboard's variables make, and `[@]` for a range that
suits both the screen and how often Prometheus scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from grafana_foundation_sdk.builders import bargauge, common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as query
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "vitrine"
# Any series of this one tells of a process, whatever it is.
ANY_PROCESS = "vitrine_build_info"

_AnyPanel = timeseries.Panel | bargauge.Panel | stat.Panel

# In panels by outcome the colour says how good each is, and no two in a panel have the same.
OUTCOMES = {
    **dict.fromkeys(("ok", "OK", "applied", "written", "kept", "hit", "200"), "green"),
    **dict.fromkeys(("unchanged", "bypass", "stopped"), "blue"),
    **dict.fromkeys(("shared", "left"), "purple"),
    **dict.fromkeys(("miss", "bad"), "yellow"),
    "late": "orange",
    **dict.fromkeys(("failed", "dropped"), "red"),
    "refused": "dark-red",
}

_RANGE = "$__rate_interval"
_FILL_PERCENT = 70.0


class Style(Enum):
    """How a panel shows its series."""

    LINES = "lines"
    STACKED = "stacked"
    """Areas on one another, which add up to something."""
    BARS = "bars"
    """One bar a series, as it is now, the longest first."""
    NUMBERS = "numbers"
    """One number a series, as it is now."""


@dataclass(frozen=True, slots=True)
class Series:
    """A query and what its series are called, with `{{label}}` for labels."""

    expr: str
    legend: str
    over: bool = False
    """In a stacked panel: a line over the areas, which is no part of them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `unit` is one of Grafana's; its colour is `base`, and another from each of `steps` on.

    `width` is in 24ths of the screen's, `low` and `high` are the ends of the axis.
    """

    title: str
    description: str
    unit: str
    series: Sequence[Series]
    style: Style = Style.LINES
    base: str = "green"
    steps: Sequence[tuple[float, str]] = ()
    width: int = 8
    height: int = 8
    low: float | None = 0
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. With a `component` its pods can be chosen, and only those are shown."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    component: str = ""

    @property
    def selector(self) -> str:
        """What stands for `@` in braces."""
        namespace = 'namespace=~"$namespace"'
        return f'{namespace}, component="{self.component}", pod=~"$pod"' if self.component else namespace

    def expression(self, series: Series) -> str:
        """The query of a series as Grafana gets it."""
        return series.expr.replace("{@", "{" + self.selector).replace("[@]", f"[{_RANGE}]")

    def dashboard(self) -> model.Dashboard:
        """The dashboard in Grafana's own terms."""
        made = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .editable()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .refresh("30s")
            .time("now-1h", "now")
            .timezone("browser")
            .link(
                build.DashboardLink("Vitrine")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .include_vars(True)
                .keep_time(True)
            )
            .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
            .with_variable(_choice("namespace", "Namespace", ANY_PROCESS))
        )
        if self.component:
            of = f'{ANY_PROCESS}{{namespace=~"$namespace", component="{self.component}"}}'
            made.with_variable(_choice("pod", "Pod", of))
        number = 0
        for row in self.rows:
            number += 1
            made.with_row(build.Row(row.title).id(number))
            for panel in row.panels:
                number += 1
                made.with_panel(self._panel(panel).id(number))
        return made.build()

    def _panel(self, panel: Panel) -> _AnyPanel:
        made = _BUILDERS[panel.style](panel)
        made.title(panel.title).description(panel.description).unit(panel.unit).datasource(DATASOURCE)
        made.span(panel.width).height(panel.height).thresholds(_thresholds(panel))
        if panel.low is not None:
            made.min(panel.low)
        if panel.high is not None:
            made.max(panel.high)
        for number, series in enumerate(panel.series):
            target = (
                query.Dataquery()
                .expr(self.expression(series))
                .legend_format(series.legend)
                .ref_id(chr(ord("A") + number))
                .datasource(DATASOURCE)
            )
            is_now = panel.style in {Style.BARS, Style.NUMBERS}
            made.with_target(target.instant() if is_now else target.range())
        return made


def _lines(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(5)
        .show_points(options.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(options.TooltipDisplayMode.MULTI)
            .sort(options.SortOrder.DESCENDING)
        )
    )
    if any(series.legend == "{{outcome}}" for series in panel.series):
        for name, colour in OUTCOMES.items():
            fixed = model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
            made.override_by_name(name, [fixed])
    if panel.steps:
        # The limits are drawn, and the colours left to the series.
        made.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED)
        )
    return made


def _stacked(panel: Panel) -> timeseries.Panel:
    made = (
        _lines(panel)
        .fill_opacity(_FILL_PERCENT)
        .stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    )
    for series in panel.series:
        if series.over:
            made.override_by_name(
                series.legend,
                [
                    model.DynamicConfigValue("custom.stacking", {"mode": "none"}),
                    model.DynamicConfigValue("custom.fillOpacity", 0),
                    model.DynamicConfigValue("custom.lineWidth", 2),
                ],
            )
    return made


def _bars(_panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    )


def _numbers(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(options.BigValueColorMode.BACKGROUND if panel.steps else options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.AUTO)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    )


_BUILDERS: dict[Style, Callable[[Panel], _AnyPanel]] = {
    Style.LINES: _lines,
    Style.STACKED: _stacked,
    Style.BARS: _bars,
    Style.NUMBERS: _numbers,
}


def _thresholds(panel: Panel) -> build.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=panel.base)]
    steps += [model.Threshold(value=value, color=colour) for value, colour in panel.steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _choice(name: str, label: str, of: str) -> build.QueryVariable:
    """A variable with the values of the label `name` of a metric, of which any number can be chosen."""
    return (
        build.QueryVariable(name)
        .label(label)
        .query({"qryType": 1, "query": f"label_values({of}, {name})", "refId": name})
        .datasource(DATASOURCE)
        .current(model.VariableOption(text="All", value="$__all", selected=True))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
