"""The dashboard to begin with: which stage is slow, what was promised, and what answers lack."""

from __future__ import annotations

from deploy.observability.panels import Board, Panel, Row, Series, Style

_SLOW_S = ((0.1, "yellow"), (0.25, "orange"), (0.5, "red"))
_LIMIT_S = ((0.5, "red"),)
_SEARCH = 'grpc_service="vitrine.v1.SearchService", grpc_method="Search"'
_HTTP_SEARCH = 'route="/v1/catalogs/{catalog}:search"'
_GATEWAY_STAGES = 'component="gateway", stage=~"embed|vectors|search|rank|metadata"'
_BUDGET = ((0.0, "orange"), (0.25, "yellow"), (0.5, "green"))


def _answer_mean() -> str:
    """Seconds of a search from the first to the last of it at the gateway, over gRPC and over HTTP."""
    seconds, count = (
        f"sum(rate(grpc_server_handling_seconds_{what}{{@, {_SEARCH}}}[@])"
        f" or rate(vitrine_gateway_http_seconds_{what}{{@, {_HTTP_SEARCH}}}[@]))"
        for what in ("sum", "count")
    )
    return f"{seconds} / {count}"


def _answer_quantile(share: float) -> str:
    return (
        f"histogram_quantile({share}, sum by (le) ("
        f"rate(grpc_server_handling_seconds_bucket{{@, {_SEARCH}}}[@])"
        f" or rate(vitrine_gateway_http_seconds_bucket{{@, {_HTTP_SEARCH}}}[@])))"
    )


_STAGES = Row(
    "Which stage is slow?",
    [
        Panel(
            "Slowest stages now, p95",
            "One in twenty takes longer than this in the stage. The longest bar is where to look first:"
            " `gateway embed` and"
            " `gateway search` are what the embedder and the shards took as the gateway saw it; the bars"
            " of `embedder` and"
            " `vectorsearch` tell what in there.",
            "s",
            [
                Series(
                    "sort_desc(max by (component, stage) (vitrine:stage_seconds:p95_rate5m{@} >= 0))",
                    "{{component}} {{stage}}",
                )
            ],
            Style.BARS,
            steps=_SLOW_S,
            height=10,
        ),
        Panel(
            "Where the time of a search goes",
            "Mean seconds a search, by stage of the gateway, one upon the other; the line is the whole"
            " answer. What is"
            " between the areas and the line is the gateway's own work. Answers from the cache have no"
            " stages.",
            "s",
            [
                Series(
                    f"sum by (stage) (rate(vitrine_stage_seconds_sum{{@, {_GATEWAY_STAGES}}}[@]))"
                    " / on () group_left () sum(rate(vitrine_gateway_searches_total{@}[@]))",
                    "{{stage}}",
                ),
                Series(_answer_mean(), "whole answer", over=True),
            ],
            Style.STACKED,
            height=10,
        ),
        Panel(
            "p95 of each stage of a search",
            "As on the left, over time: what changed, and when.",
            "s",
            [
                Series(
                    "histogram_quantile(0.95, sum by (le, stage) "
                    f"(rate(vitrine_stage_seconds_bucket{{@, {_GATEWAY_STAGES}}}[@])))",
                    "{{stage}}",
                )
            ],
            steps=_LIMIT_S,
            height=10,
        ),
        Panel(
            "Inside `embed`: the embedder",
            "Mean seconds a call of the embedder, by its stages. `queue` grows when devices are too few,"
            " `decode` with large"
            " photos, `forward` with large batches, `fetch` when the hosts of photos by address are slow.",
            "s",
            [
                Series(
                    'sum by (stage) (rate(vitrine_stage_seconds_sum{@, component="embedder"}[@]))'
                    " / on () group_left () sum(rate("
                    'grpc_server_handling_seconds_count{@, grpc_method=~"EmbedImages|EmbedTexts"}[@]))',
                    "{{stage}}",
                )
            ],
            Style.STACKED,
        ),
        Panel(
            "Inside `search`: the shards",
            "Mean seconds of one search in one shard: waiting for a thread, working out which rows pass,"
            " comparing vectors.",
            "s",
            [
                Series(
                    "sum(rate(vitrine_vectorsearch_queue_seconds_sum{@}[@]))"
                    " / sum(rate(vitrine_vectorsearch_queue_seconds_count{@}[@]))",
                    "queue",
                ),
                Series(
                    'sum by (stage) (rate(vitrine_stage_seconds_sum{@, component="vectorsearch"}[@]))'
                    ' / sum by (stage) (rate(vitrine_stage_seconds_count{@, component="vectorsearch"}[@]))',
                    "{{stage}}",
                ),
            ],
            Style.STACKED,
        ),
        Panel(
            "p95 of calls between services",
            "As the service that was called saw it. Where the gateway's stage is much slower than the"
            " call, the time goes"
            " on the way, in retries, or in waiting for the slowest shard.",
            "s",
            [
                Series(
                    "histogram_quantile(0.95, sum by (le, component, grpc_method)"
                    " (rate(grpc_server_handling_seconds_bucket"
                    '{@, component=~"embedder|ranker|vectorsearch",'
                    ' grpc_method=~"EmbedImages|EmbedTexts|SearchVectors|GetVectors|Rank"}[@])))',
                    "{{component}} {{grpc_method}}",
                )
            ],
            steps=_LIMIT_S,
        ),
    ],
)

_PROMISES = Row(
    "What was promised: 99.9% not failed, 99% within 0.5 s",
    [
        Panel(
            "Budget left: errors",
            "Of the searches that may fail within 30 days. 100% is untouched; below 0 the promise is broken.",
            "percentunit",
            [Series("min(vitrine:search_errors:budget_left30d{@})", "errors")],
            Style.NUMBERS,
            base="red",
            steps=_BUDGET,
            width=4,
            low=None,
        ),
        Panel(
            "Budget left: latency",
            "Of the searches that may take more than 0.5 s within 30 days.",
            "percentunit",
            [Series("min(vitrine:search_slow:budget_left30d{@})", "latency")],
            Style.NUMBERS,
            base="red",
            steps=_BUDGET,
            width=4,
            low=None,
        ),
        Panel(
            "How fast the budgets burn",
            "1 uses a budget up in exactly 30 days. At 14.4 over an hour, or 6 over six hours, somebody"
            " is woken.",
            "none",
            [
                Series("max(vitrine:search_errors:ratio_rate1h{@}) / 0.001", "errors, 1 h"),
                Series("max(vitrine:search_errors:ratio_rate6h{@}) / 0.001", "errors, 6 h"),
                Series("max(vitrine:search_slow:ratio_rate1h{@}) / 0.01", "latency, 1 h"),
                Series("max(vitrine:search_slow:ratio_rate6h{@}) / 0.01", "latency, 6 h"),
            ],
            steps=((1, "yellow"), (6, "orange"), (14.4, "red")),
        ),
        Panel(
            "Failed and slow now",
            "Share of the searches of the last five minutes that failed by our doing, and that took more"
            " than 0.5 s.",
            "percentunit",
            [
                Series("max(vitrine:search_errors:ratio_rate5m{@})", "failed"),
                Series("max(vitrine:search_slow:ratio_rate5m{@})", "slow"),
            ],
            steps=((0.001, "yellow"), (0.01, "red")),
        ),
    ],
)

_TRAFFIC = Row(
    "Searches and other calls",
    [
        Panel(
            "Searches by kind",
            "Answered searches a second, by what was searched with.",
            "reqps",
            [Series("sum by (kind) (rate(vitrine_gateway_searches_total{@}[@]))", "{{kind}}")],
            Style.STACKED,
        ),
        Panel(
            "How long an answer takes",
            "At the gateway, over gRPC and over HTTP, those from the cache too.",
            "s",
            [
                Series(_answer_quantile(0.5), "p50"),
                Series(_answer_quantile(0.95), "p95"),
                Series(_answer_quantile(0.99), "p99"),
            ],
            steps=_LIMIT_S,
        ),
        Panel(
            "Searches over gRPC that were not OK",
            "By status code, a second. INVALID_ARGUMENT, NOT_FOUND and CANCELLED are the callers' own doing.",
            "reqps",
            [
                Series(
                    "sum by (grpc_code) "
                    f'(rate(grpc_server_handled_total{{@, {_SEARCH}, grpc_code!="OK"}}[@]))',
                    "{{grpc_code}}",
                )
            ],
        ),
        Panel(
            "Calls by RPC",
            "Calls of the gateway a second, by method.",
            "reqps",
            [
                Series(
                    "sum by (grpc_method) "
                    '(rate(grpc_server_started_total{@, component=~"gateway|feed"}[@])) > 0',
                    "{{grpc_method}}",
                )
            ],
            Style.STACKED,
        ),
        Panel(
            "p99 by RPC",
            "At the gateway; streams of the feed, which last for hours, are left out.",
            "s",
            [
                Series(
                    "histogram_quantile(0.99, sum by (le, grpc_method)"
                    " (rate(grpc_server_handling_seconds_bucket"
                    '{@, component="gateway", grpc_type="unary"}[@]))) >= 0',
                    "{{grpc_method}}",
                )
            ],
        ),
        Panel(
            "HTTP by status",
            "Requests of the page and of the HTTP API a second.",
            "reqps",
            [Series("sum by (status) (rate(vitrine_gateway_http_requests_total{@}[@])) > 0", "{{status}}")],
            Style.STACKED,
        ),
    ],
)

_ANSWERS = Row(
    "Answers",
    [
        Panel(
            "Where answers come from",
            "Searches a second: found in the cache (`hit`), shared with an equal one under way, found"
            " anew (`miss`), or not"
            " allowed to come from the cache (`bypass`).",
            "reqps",
            [Series("sum by (outcome) (rate(vitrine_gateway_cache_total{@}[@]))", "{{outcome}}")],
            Style.STACKED,
            width=6,
        ),
        Panel(
            "Found in the cache",
            "Of the searches that were allowed to come from it, and of the lookups of answers and"
            " vectors in each layer.",
            "percentunit",
            [
                Series("max(vitrine:search_cached:ratio_rate5m{@})", "answers in all"),
                Series(
                    'sum by (layer, kind) (rate(vitrine_gateway_cache_lookups_total{@, outcome="hit"}[@]))'
                    " / sum by (layer, kind) (rate(vitrine_gateway_cache_lookups_total{@}[@]))",
                    "{{layer}} {{kind}}",
                ),
            ],
            width=6,
            high=1,
        ),
        Panel(
            "Degraded answers",
            "Share of the answers that are less than they could be, by what was away.",
            "percentunit",
            [Series("max by (reason) (vitrine:search_degraded:ratio_rate5m{@})", "{{reason}}")],
            width=6,
            steps=((0.05, "red"),),
        ),
        Panel(
            "Searches that find nothing",
            "Share of the searches without a hit. A jump is a catalogue, a filter or a model that is not"
            " what it was.",
            "percentunit",
            [Series("max(vitrine:search_zero_results:ratio_rate5m{@})", "no hit")],
            width=6,
        ),
    ],
)

_SHARDS = Row(
    "Shards and replicas",
    [
        Panel(
            "Replicas that are caught up",
            "Of each shard of the set in use, as the gateway that sees the fewest sees it. At 0 products"
            " are missing.",
            "none",
            [Series("min by (shard) (vitrine:shard_replicas_caught_up:min{@})", "shard {{shard}}")],
            Style.BARS,
            base="red",
            steps=((1, "green"),),
            width=6,
        ),
        Panel(
            "Replicas by state",
            "What replicas last told the gateways, in both sets of shards.",
            "none",
            [Series("max by (set, state) (vitrine_gateway_replicas{@})", "{{set}} {{state}}")],
            width=6,
        ),
        Panel(
            "Behind the feed",
            "For how long a replica has not known itself at the head of the feed.",
            "s",
            [Series("max by (set, shard) (vitrine:shard_lag_seconds:max{@})", "{{set}} {{shard}}")],
            width=6,
            steps=((120, "red"),),
        ),
        Panel(
            "Second replicas asked",
            "Hedges, because the first was slow, and failovers, because it failed or was behind;"
            " replicas set aside.",
            "cps",
            [
                Series("sum by (outcome) (rate(vitrine_gateway_hedges_total{@}[@]))", "hedge {{outcome}}"),
                Series(
                    "sum by (reason) (rate(vitrine_gateway_failovers_total{@}[@]))", "failover: {{reason}}"
                ),
                Series("sum(rate(vitrine_gateway_replicas_set_aside_total{@}[@]))", "set aside"),
            ],
            width=6,
        ),
    ],
)

_PROCESSES = Row(
    "Processes",
    [
        Panel(
            "Calls in hand",
            "Being handled now, over gRPC and over HTTP, by component: what the gateway and the shards are"
            " scaled by.",
            "none",
            [Series("sum by (component) (vitrine_server_inflight{@})", "{{component}}")],
            width=4,
        ),
        Panel(
            "Turned away",
            "Calls over gRPC and over HTTP beyond `max_inflight`, and those without a valid key or over"
            " their rate.",
            "cps",
            [
                Series(
                    "sum by (component) (rate(vitrine_server_rejected_total{@}[@]))", "{{component}}: full"
                ),
                Series("sum by (reason) (rate(vitrine_gateway_access_refused_total{@}[@]))", "{{reason}}"),
            ],
            width=4,
        ),
        Panel(
            "Spans lost",
            "Spans of traces a second that no receiver got. Nothing where tracing is off.",
            "cps",
            [Series("sum by (reason) (rate(vitrine_trace_spans_dropped_total{@}[@]))", "{{reason}}")],
            width=4,
        ),
        Panel(
            "Cores in use",
            "CPU seconds a second, by component.",
            "none",
            [Series("sum by (component) (rate(process_cpu_seconds_total{@}[@]))", "{{component}}")],
            Style.STACKED,
            width=4,
        ),
        Panel(
            "Memory",
            "Resident, by component.",
            "bytes",
            [Series("sum by (component) (process_resident_memory_bytes{@})", "{{component}}")],
            Style.STACKED,
            width=4,
        ),
        Panel(
            "Pods by release",
            "Two releases side by side are a rollout under way, or one that has got stuck.",
            "none",
            [Series("count by (component, version) (vitrine_build_info{@})", "{{component}} {{version}}")],
            Style.BARS,
            width=4,
        ),
    ],
)

BOARD = Board(
    "vitrine-overview",
    "Vitrine / Overview",
    "Which stage is slow, whether the promises are kept, and what answers lack.",
    [_STAGES, _PROMISES, _TRAFFIC, _ANSWERS, _SHARDS, _PROCESSES],
)
