"""The dashboard of the embedders: what waits, what the devices do, what is turned away."""

from __future__ import annotations

from deploy.observability.panels import Board, Panel, Row, Series, Style


def _quantiles(metric: str) -> list[Series]:
    return [
        Series(
            f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{@}}[@])))",
            f"p{share * 100:g}",
        )
        for share in (0.5, 0.95, 0.99)
    ]


_LOAD = Row(
    "Load",
    [
        Panel(
            "Images and texts",
            "Embedded a second, by all pods that are chosen.",
            "cps",
            [Series("sum by (kind) (rate(vitrine_embedder_embedded_total{@}[@]))", "{{kind}}")],
            width=6,
        ),
        Panel(
            "Device busy",
            "Share of the last 10 seconds in which the device worked: what embedders are scaled by, with"
            " the queue.",
            "percentunit",
            [Series("max by (pod) (vitrine_embedder_device_busy_ratio{@})", "{{pod}}")],
            steps=((0.9, "red"),),
            width=6,
            high=1,
        ),
        Panel(
            "Queue",
            "Items that wait for the device.",
            "none",
            [Series("max by (pod) (vitrine_embedder_queue_items{@})", "{{pod}}")],
            width=6,
        ),
        Panel(
            "Admitted and not done with",
            "Items inside, waiting or being worked on; beyond `max_queued_items` callers are turned away.",
            "none",
            [Series("max by (pod) (vitrine_embedder_inflight{@})", "{{pod}}")],
            width=6,
        ),
        Panel(
            "Batch size",
            "Items in a batch. Small batches on a busy device mean that callers' deadlines are short.",
            "none",
            [
                Series(
                    "sum(rate(vitrine_embedder_batch_items_sum{@}[@])) /"
                    " sum(rate(vitrine_embedder_batch_items_count{@}[@]))",
                    "mean",
                ),
                *_quantiles("vitrine_embedder_batch_items"),
            ],
            width=6,
        ),
        Panel(
            "Waiting for the device",
            "How long an item waited for its batch.",
            "s",
            _quantiles("vitrine_embedder_queue_seconds"),
            steps=((0.25, "red"),),
            width=6,
        ),
        Panel(
            "Where the time of a call goes",
            "Mean seconds in each stage, of the item of a call that took longest.",
            "s",
            [
                Series(
                    "sum by (stage) (rate(vitrine_stage_seconds_sum{@}[@])) / on () group_left () sum(rate("
                    'grpc_server_handling_seconds_count{@, grpc_method=~"EmbedImages|EmbedTexts"}[@]))',
                    "{{stage}}",
                )
            ],
            Style.STACKED,
            width=6,
        ),
        Panel(
            "How long calls take",
            "p50 and p99 by method.",
            "s",
            [
                Series(
                    f"histogram_quantile({share}, sum by (le, grpc_method)"
                    f" (rate(grpc_server_handling_seconds_bucket"
                    '{@, grpc_method=~"EmbedImages|EmbedTexts"}[@])))',
                    f"{{{{grpc_method}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ],
            width=6,
        ),
    ],
)

_REFUSED = Row(
    "What was not embedded",
    [
        Panel(
            "Turned away, by reason",
            "No room for more items (`full_items`) or bytes, no time before the caller's deadline at the"
            " door (`no_time`) or"
            " later (`expired`); and pictures that are none, damaged or too large.",
            "cps",
            [Series("sum by (reason) (rate(vitrine_embedder_rejected_total{@}[@]))", "{{reason}}")],
        ),
        Panel(
            "Items by how they ended",
            "`left`: nobody waited any more; `bad`: the item itself was wrong; `failed`: the embedder's"
            " own doing.",
            "cps",
            [Series("sum by (outcome) (rate(vitrine_embedder_items_total{@}[@]))", "{{outcome}}")],
            Style.STACKED,
        ),
        Panel(
            "Fetched by address",
            "Pictures of queries that were given by address, by how it ended.",
            "cps",
            [Series("sum by (outcome) (rate(vitrine_embedder_fetches_total{@}[@]))", "{{outcome}}")],
        ),
    ],
)

_DECODING = Row(
    "Decoding",
    [
        Panel(
            "Threads busy",
            "Share of the last 10 seconds in which the threads that decode worked.",
            "percentunit",
            [Series("max by (pod) (vitrine_embedder_decode_threads_busy_ratio{@})", "{{pod}}")],
            steps=((0.9, "red"),),
            high=1,
        ),
        Panel(
            "Queue",
            "Pictures that wait for a thread.",
            "none",
            [Series("max by (pod) (vitrine_embedder_decode_queue_items{@})", "{{pod}}")],
        ),
        Panel(
            "Waiting for a thread",
            "How long a picture waited to be decoded.",
            "s",
            _quantiles("vitrine_embedder_decode_queue_seconds"),
        ),
    ],
)

_SPACES = Row(
    "Spaces and processes",
    [
        Panel(
            "Spaces",
            "1 where a space has its weights on every pod. What needs a space at 0 is refused.",
            "none",
            [Series("min by (space) (vitrine_embedder_space_available{@})", "{{space}}")],
            Style.BARS,
            base="red",
            steps=((1, "green"),),
            width=6,
            high=1,
        ),
        Panel(
            "Vectors by space",
            "Made a second.",
            "cps",
            [Series("sum by (space) (rate(vitrine_embedder_vectors_total{@}[@]))", "{{space}}")],
            width=6,
        ),
        Panel(
            "Start",
            "From the start of the process until it could embed: with scheduling and the image, how late"
            " a new pod helps.",
            "s",
            [Series("max by (pod) (vitrine_embedder_startup_seconds{@})", "{{pod}}")],
            Style.BARS,
            width=6,
        ),
        Panel(
            "Memory",
            "Resident, by pod; that of a GPU is not in it.",
            "bytes",
            [Series("max by (pod) (process_resident_memory_bytes{@})", "{{pod}}")],
            width=6,
        ),
    ],
)

BOARD = Board(
    "vitrine-embedder",
    "Vitrine / Embedder",
    "What waits, what the devices do, and what is turned away.",
    [_LOAD, _REFUSED, _DECODING, _SPACES],
    component="embedder",
)
