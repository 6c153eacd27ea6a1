"""An evaluation on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from services.trainer.evaluation.measures import GENDER_AND_CATEGORY
from services.trainer.evaluation.naming import FIGURES, figure, rankings, slice_name

_MIB = 1 << 20
_FIRST_WIDTH = 22


def of(document: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of a document: figures, cost, slices and drops, without those that have nothing to say."""
    yield _figures(document)
    yield _costs(document)
    if document["slices"]:
        yield _slices(document)
    if any(_drops(document)):
        yield _dropped(document)


def _figures(document: Mapping[str, Any]) -> Table:
    entries = dict(rankings(document))
    table = _table("figure", *entries)
    for path, label in FIGURES.items():
        found = [figure(entry, path) for entry in entries.values()]
        if any(found):
            table.add_row(label, *_cells(found))
    ratios = [figure(entry, f"over_best_space.{GENDER_AND_CATEGORY}") for entry in entries.values()]
    if any(ratios):
        table.add_row("over the best space", *(_cell(ratio) for ratio in ratios))
    return table


def _costs(document: Mapping[str, Any]) -> Table:
    table = _table("", "vectors MiB", "index MiB", "p50 ms", "p95 ms", "")
    for name, entry in document["spaces"].items():
        if "query_ms" in entry:
            sizes = (f"{entry[key] / _MIB:.1f}" for key in ("vector_bytes", "index_bytes"))
            latency = entry["query_ms"]
            table.add_row(name, *sizes, f"{latency['p50']:.2f}", f"{latency['p95']:.2f}", "one search")
    for name, entry in document["profiles"].items():
        latency = entry["rank_ms"]
        table.add_row(
            *(name, "", "", f"{latency['p50']:.2f}", f"{latency['p95']:.2f}"),
            f"ranking {entry['candidates']:,} candidates",
        )
    return table


def _slices(document: Mapping[str, Any]) -> Table:
    names = [name for name, _ in rankings(document)]
    table = _table("slice", "queries", *names)
    table.title = f"{FIGURES[GENDER_AND_CATEGORY]} by slice"
    table.title_justify = "left"
    for name, part in document["slices"].items():
        found = [figure(entry, GENDER_AND_CATEGORY) for _, entry in rankings(part)]
        if any(found):
            table.add_row(slice_name(name), f"{part['n']:,}", *_cells(found))
    return table


def _dropped(document: Mapping[str, Any]) -> Table:
    table = _table("drops", "wrong gender dropped", "precision", "right lost")
    for name, entry in _drops(document):
        table.add_row(name, *(_cell(entry.get(key)) for key in ("wrong_dropped", "precision", "right_lost")))
    return table


def _drops(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parts = {"profiles": document["drops"], "masked": {"profiles": document["masked"]["drops"]}}
    # A profile that drops nothing has no precision.
    return ((name, entry) for name, entry in rankings(parts) if "precision" in entry)


def _table(first: str, *headers: str) -> Table:
    """A table whose figures lose their line before its words do where a terminal is narrow."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True, max_width=_FIRST_WIDTH)
    for header in headers:
        longest = max((len(word) for word in header.split()), default=0)
        table.add_column(header, justify="right", min_width=longest)
    return table


def _cells(figures: list[Mapping[str, float] | None]) -> Iterator[Text]:
    best = max((each["value"] for each in figures if each), default=0.0)
    for each in figures:
        yield _cell(each, "bold" if each and each["value"] == best else "")


def _cell(each: Mapping[str, float] | None, style: str = "") -> Text:
    """A figure with half of its interval, the wider one."""
    if not each:
        return Text("")
    half = max(each["value"] - each["low"], each["high"] - each["value"])
    return Text.assemble((_short(each["value"]), style), (f" ±{_short(half)}", "dim"))


def _short(value: float) -> str:
    """Three digits behind the point, and before it none that is 0."""
    return f"{value:.3f}".removeprefix("0")
