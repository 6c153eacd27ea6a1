"""The dashboard of the shards: what they hold, how they search, how far they are, what is on disk."""

from __future__ import annotations

from deploy.observability.panels import Board, Panel, Row, Series, Style

_HELD = Row(
    "What is held",
    [
        Panel(
            "Rows",
            "Photos of each replica. Replicas of one shard should agree but for what is on its way.",
            "short",
            [Series("max by (set, shard, pod) (vitrine_vectorsearch_rows{@})", "{{set}} {{shard}} {{pod}}")],
            width=6,
        ),
        Panel(
            "Products",
            "Products of each shard.",
            "short",
            [Series("max by (set, shard) (vitrine_vectorsearch_products{@})", "{{set}} {{shard}}")],
            width=6,
        ),
        Panel(
            "Memory",
            "Resident, and what of it are vectors and approximate indexes, of the pod that has most.",
            "bytes",
            [
                Series("max(process_resident_memory_bytes{@})", "resident"),
                Series("max(vitrine_vectorsearch_vector_bytes{@})", "vectors"),
                Series("max(sum by (pod) (vitrine_vectorsearch_index_bytes{@}))", "indexes"),
            ],
            width=6,
        ),
        Panel(
            "Dead rows and compaction",
            "Share of rows whose product is gone or was written anew, and segments emptied a second."
            " Compaction keeps it low"
            " by itself.",
            "percentunit",
            [
                Series(
                    "sum by (set, shard) (vitrine_vectorsearch_dead_rows{@}) / (sum by (set, shard) "
                    "(vitrine_vectorsearch_rows{@} + vitrine_vectorsearch_dead_rows{@}) > 0)",
                    "dead {{set}} {{shard}}",
                ),
                Series(
                    "sum(rate(vitrine_vectorsearch_compactions_total{@}[@]))", "segments emptied a second"
                ),
            ],
            width=6,
        ),
    ],
)

_SEARCHES = Row(
    "Searches",
    [
        Panel(
            "Plans",
            "Searches a second by plan. `gather`-like plans serve narrow filters, scans and indexes the"
            " rest.",
            "reqps",
            [Series("sum by (plan) (rate(vitrine_vectorsearch_searches_total{@}[@]))", "{{plan}}")],
            Style.STACKED,
        ),
        Panel(
            "How long a search takes",
            "In one shard, at the server.",
            "s",
            [
                Series(
                    f"histogram_quantile({share}, sum by (le) "
                    '(rate(grpc_server_handling_seconds_bucket{@, grpc_method="SearchVectors"}[@])))',
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.95, 0.99)
            ],
            steps=((0.25, "red"),),
        ),
        Panel(
            "By shard, p95",
            "One that stands out makes every search wait for it.",
            "s",
            [
                Series(
                    "histogram_quantile(0.95, sum by (le, set, shard) "
                    '(rate(grpc_server_handling_seconds_bucket{@, grpc_method="SearchVectors"}[@])))',
                    "{{set}} {{shard}}",
                )
            ],
        ),
        Panel(
            "Waiting for a thread",
            "How long a search waited for its batch, p95, and how many wait.",
            "s",
            [
                Series(
                    "histogram_quantile(0.95, sum by (le)"
                    " (rate(vitrine_vectorsearch_queue_seconds_bucket{@}[@])))",
                    "p95",
                )
            ],
            width=6,
        ),
        Panel(
            "Queue and calls in hand",
            "Searches that wait, and calls being handled: what shards are scaled by.",
            "none",
            [
                Series(
                    "sum by (set, shard) (vitrine_vectorsearch_queue_items{@})", "queue {{set}} {{shard}}"
                ),
                Series("sum by (set, shard) (vitrine_server_inflight{@})", "in hand {{set}} {{shard}}"),
            ],
            width=6,
        ),
        Panel(
            "Threads busy",
            "Share of the last 10 seconds in which the thread that forms batches worked.",
            "percentunit",
            [Series("max by (pod) (vitrine_vectorsearch_threads_busy_ratio{@})", "{{pod}}")],
            steps=((0.9, "red"),),
            width=6,
            high=1,
        ),
        Panel(
            "Batches and what was turned away",
            "Searches in a batch, on average; searches a second for which there was no room or no time,"
            " by reason.",
            "none",
            [
                Series(
                    "sum(rate(vitrine_vectorsearch_batch_items_sum{@}[@]))"
                    " / sum(rate(vitrine_vectorsearch_batch_items_count{@}[@]))",
                    "batch",
                ),
                Series("sum by (reason) (rate(vitrine_vectorsearch_rejected_total{@}[@]))", "{{reason}}"),
            ],
            width=6,
        ),
    ],
)

_FEED = Row(
    "Following the feed",
    [
        Panel(
            "Behind the feed",
            "For how long a replica has not known itself at the feed's head; 0 while it does.",
            "s",
            [Series("max by (pod) (vitrine_vectorsearch_lag_seconds{@})", "{{pod}}")],
            steps=((120, "red"),),
            width=6,
        ),
        Panel(
            "Revisions behind",
            "Revisions that the feed is ahead. It falls while a replica catches up.",
            "short",
            [Series("max by (pod) (vitrine_vectorsearch_lag_revisions{@})", "{{pod}}")],
            width=6,
        ),
        Panel(
            "Connected to the feed",
            "1 while it is.",
            "none",
            [Series("min by (pod) (vitrine_vectorsearch_following{@})", "{{pod}}")],
            Style.BARS,
            base="red",
            steps=((1, "green"),),
            width=6,
            high=1,
        ),
        Panel(
            "Changes",
            "Received a second. Those that are refused are missing from the shard.",
            "cps",
            [Series("sum by (outcome) (rate(vitrine_vectorsearch_changes_total{@}[@]))", "{{outcome}}")],
            width=6,
        ),
    ],
)

_INDEXES = Row(
    "Approximate indexes",
    [
        Panel(
            "Recall",
            "Over the first 10 and 100, measured on the index built last. Nothing where all spaces are"
            " searched exactly.",
            "percentunit",
            [
                Series(
                    "min by (space, kind, k) (vitrine_vectorsearch_index_recall{@})",
                    "{{space}} {{kind}} @{{k}}",
                )
            ],
            Style.BARS,
            base="red",
            steps=((0.9, "orange"), (0.95, "green")),
            high=1,
        ),
        Panel(
            "Builds",
            "Within an hour, by outcome. `stopped`: the shard ended meanwhile, or the catalogue went.",
            "short",
            [
                Series(
                    "sum by (outcome) (increase(vitrine_vectorsearch_index_builds_total{@}[1h]))",
                    "{{outcome}}",
                )
            ],
        ),
        Panel(
            "Time to build",
            "Mean of all builds since the pods started.",
            "s",
            [
                Series(
                    "sum(vitrine_vectorsearch_index_build_seconds_sum{@})"
                    " / (sum(vitrine_vectorsearch_index_build_seconds_count{@}) > 0)",
                    "mean",
                )
            ],
        ),
    ],
)

_DISK = Row(
    "On disk",
    [
        Panel(
            "Age of the snapshot",
            "Since it was last known to hold all that there was. The journal has what came after.",
            "s",
            [Series("max by (pod) (vitrine_vectorsearch_snapshot_age_seconds{@})", "{{pod}}")],
            width=6,
        ),
        Panel(
            "Snapshots",
            "Within an hour, by outcome.",
            "short",
            [
                Series(
                    "sum by (outcome) (increase(vitrine_vectorsearch_snapshots_total{@}[1h]))", "{{outcome}}"
                )
            ],
            width=6,
        ),
        Panel(
            "Time of a snapshot",
            "Mean of those of the last hour.",
            "s",
            [
                Series(
                    "sum(increase(vitrine_vectorsearch_snapshot_seconds_sum{@}[1h]))"
                    " / sum(increase(vitrine_vectorsearch_snapshot_seconds_count{@}[1h]))",
                    "mean",
                )
            ],
            width=6,
        ),
        Panel(
            "Journal",
            "Bytes that a start would replay.",
            "bytes",
            [Series("max by (pod) (vitrine_vectorsearch_journal_bytes{@})", "{{pod}}")],
            width=4,
        ),
        Panel(
            "Journal stopped",
            "Times within an hour that the disk refused.",
            "short",
            [Series("sum(increase(vitrine_vectorsearch_journal_failures_total{@}[1h]))", "stopped")],
            Style.NUMBERS,
            steps=((1, "red"),),
            width=2,
        ),
    ],
)

BOARD = Board(
    "vitrine-vectorsearch",
    "Vitrine / Vector search",
    "What shards hold, how they search, how far they have followed, and what is on disk.",
    [_HELD, _SEARCHES, _FEED, _INDEXES, _DISK],
    component="vectorsearch",
)
