"""`vitrine queries`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from services.mesh.errors import InvalidArgument
from vitrine.cli import output, tables
from vitrine.cli.options import LimitOption
from vitrine.cli.session import Session, in_catalog

if TYPE_CHECKING:
    from vitrine.client import LoggedQuery, QueryStats

app = typer.Typer(help="What was searched for, and what people made of it.", no_args_is_help=True)

SinceOption = Annotated[
    str,
    typer.Option("--since", help="From then on: 30m, 24h or 7d ago, or a time such as 2026-11-20T09:00Z."),
]
UntilOption = Annotated[str, typer.Option("--until", help="Before then, said in the same way; now without.")]

_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command("list")
@in_catalog
def list_(
    session: Session,
    zero_results_only: Annotated[
        bool, typer.Option("--zero-results-only", help="Only queries that found nothing.")
    ] = False,
    since: SinceOption = "",
    until: UntilOption = "",
    limit: LimitOption = 100,
) -> None:
    """List queries, the newest first."""
    start, end = moment(since, "--since"), moment(until, "--until")
    with session.client() as client:
        found = client.queries(
            zero_results_only=zero_results_only, start=start, end=end, page_size=min(limit or 1000, 1000)
        )
        shown = list(islice(found, limit or None))
    if session.json:
        output.print_json({"queries": [asdict(query) for query in shown]})
        return
    tables.show(
        ("time", "id", "query", "hits", "best", "ms", "cache", "feedback"),
        (
            (
                query.time.astimezone().strftime("%m-%d %H:%M:%S") if query.time else "",
                query.query_id,
                _parts(query),
                str(query.hits),
                f"{query.best_similarity:.0f}",
                f"{query.latency_ms:.0f}",
                query.cache,
                " ".join(f"{each.kind}:{each.product}" for each in query.feedback),
            )
            for query in shown
        ),
        nothing="no queries; deployments may keep none",
        whole=("time", "id"),
    )


@app.command("stats")
@in_catalog
def stats(session: Session, since: SinceOption = "24h", until: UntilOption = "") -> None:
    """Sum queries up."""
    start, end = moment(since, "--since"), moment(until, "--until")
    with session.client() as client:
        found = client.query_stats(start=start, end=end)
    if session.json:
        output.print_json(_as_json(found))
    else:
        _show(found)


def moment(words: str, option: str) -> datetime | None:
    """The time that `24h` (ago) or `2026-11-20T09:00Z` means; None for none, local time without a zone.

    Raises InvalidArgument naming the option for anything else.
    """
    if not words:
        return None
    if ago := _AGO.fullmatch(words):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(words).astimezone(UTC)
    except ValueError as error:
        raise InvalidArgument(option, f"{words!r} is not 30m, 24h, 7d or a time") from error


def _parts(query: LoggedQuery) -> str:
    """What a query consisted of."""
    parts = [*(f'"{text}"' for text in query.texts), *query.products]
    for count, what in ((query.images, "photo"), (query.vectors, "vector")):
        if count:
            parts.append(what if count == 1 else f"{count} {what}s")
    return ", ".join(parts) + (" filtered" if query.filtered else "")


def _as_json(found: QueryStats) -> dict[str, object]:
    return {
        **asdict(found),
        "top_texts": [{"text": text, "count": count} for text, count in found.top_texts],
        "top_zero_result_texts": [
            {"text": text, "count": count} for text, count in found.top_zero_result_texts
        ],
    }


def _show(found: QueryStats) -> None:
    def share(count: int) -> str:
        return f"{count} ({count / found.queries:.0%})" if found.queries else str(count)

    rows = [
        ("queries", str(found.queries)),
        ("without a hit", share(found.zero_results)),
        ("from the cache", share(found.cached)),
        ("less than they could be", share(found.degraded)),
        ("with a click or more", share(found.engaged)),
        ("latency p50", f"{found.latency_p50_ms:.0f} ms"),
        ("latency p95", f"{found.latency_p95_ms:.0f} ms"),
        ("latency p99", f"{found.latency_p99_ms:.0f} ms"),
        ("mean reciprocal rank", f"{found.mean_reciprocal_rank:.3f}"),
        ("most searched", _counted(found.top_texts)),
        ("most often in vain", _counted(found.top_zero_result_texts)),
    ]
    tables.show_record(rows)


def _counted(texts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{text} ({count})" for text, count in texts)
