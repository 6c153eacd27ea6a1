"""The dashboard of writes: what is written, how long it takes, and how it reaches the shards."""

from __future__ import annotations

from deploy.observability.panels import Board, Panel, Row, Series, Style

_METHODS = (
    'grpc_service="vitrine.v1.CatalogService", grpc_method=~"(BatchUpsert|Create|Update|Delete)Products?"'
)

_WRITES = Row(
    "Writes",
    [
        Panel(
            "Products by outcome",
            "A second. `unchanged` were as they should be already.",
            "cps",
            [Series("sum by (outcome) (rate(vitrine_gateway_upserts_total{@}[@]))", "{{outcome}}")],
            Style.STACKED,
        ),
        Panel(
            "Failed",
            "Share of the calls that failed by our doing, and of the products that were not written for"
            " any reason.",
            "percentunit",
            [
                Series("max(vitrine:write_errors:ratio_rate5m{@})", "calls"),
                Series("max(vitrine:products_failed:ratio_rate5m{@})", "products"),
            ],
            steps=((0.01, "orange"), (0.2, "red")),
        ),
        Panel(
            "Where the time of a write goes",
            "Mean seconds of a write that came to the stage, by stage.",
            "s",
            [
                Series(
                    'sum by (stage) (rate(vitrine_stage_seconds_sum{@, stage=~"write_.*"}[@]))'
                    ' / (sum by (stage) (rate(vitrine_stage_seconds_count{@, stage=~"write_.*"}[@])) > 0)',
                    "{{stage}}",
                )
            ],
            Style.STACKED,
        ),
        Panel(
            "How long a write takes",
            "p50 and p99 by method, over gRPC.",
            "s",
            [
                Series(
                    f"histogram_quantile({share}, sum by (le, grpc_method) "
                    f"(rate(grpc_server_handling_seconds_bucket{{@, {_METHODS}}}[@])))",
                    f"{{{{grpc_method}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ],
        ),
        Panel(
            "Near duplicates",
            "Products a second that were written and show the same as others.",
            "cps",
            [Series("sum(rate(vitrine_gateway_near_duplicates_total{@}[@]))", "near duplicates")],
        ),
        Panel(
            "Query log",
            "Answered searches a second that were kept, or dropped because the store did not keep up.",
            "cps",
            [Series("sum by (outcome) (rate(vitrine_gateway_query_log_total{@}[@]))", "{{outcome}}")],
        ),
    ],
)

_LOG = Row(
    "The log and who follows it",
    [
        Panel(
            "Revisions",
            "New entries of the change log a second.",
            "cps",
            [Series("max(deriv(vitrine_gateway_log_head{@}[5m]))", "entries")],
            width=6,
        ),
        Panel(
            "Changes in an entry",
            "How many writes go together: waiting ones are committed as one.",
            "none",
            [
                Series(
                    "sum(rate(vitrine_gateway_log_entry_changes_sum{@}[@]))"
                    " / sum(rate(vitrine_gateway_log_entry_changes_count{@}[@]))",
                    "mean",
                )
            ],
            width=6,
        ),
        Panel(
            "Followers",
            "Shards that follow the log, by pod that serves them.",
            "none",
            [Series("max by (pod) (vitrine_gateway_feeds{@})", "{{pod}}")],
            width=6,
        ),
        Panel(
            "From the log to the shards",
            "For how long the replica that is furthest behind has not been at the head.",
            "s",
            [Series("max by (set, shard) (vitrine:shard_lag_seconds:max{@})", "{{set}} {{shard}}")],
            steps=((120, "red"),),
            width=6,
        ),
    ],
)

BOARD = Board(
    "vitrine-writes",
    "Vitrine / Writes and feed",
    "What is written, how long it takes, and how it reaches the shards.",
    [_WRITES, _LOG],
)
