"""The dashboard of the signals of ranking: how good answers look, and what took part in their order."""

from __future__ import annotations

from deploy.observability.panels import Board, Panel, Row, Series, Style

_ANSWERS = Row(
    "How good answers look",
    [
        Panel(
            "Hits by band",
            "Share of the hits that are much alike (`high`, from 70), somewhat (`medium`, from 40),"
            " hardly (`low`). It drops"
            " when a model, a catalogue or what people look for has changed.",
            "percentunit",
            [
                Series(
                    "sum by (band) (rate(vitrine_gateway_hits_total{@}[@]))"
                    " / on () group_left () sum(rate(vitrine_gateway_hits_total{@}[@]))",
                    "{{band}}",
                )
            ],
            Style.STACKED,
            high=1,
        ),
        Panel(
            "Searches that find nothing, by kind",
            "Share of the searches of a kind without a hit.",
            "percentunit",
            [
                Series(
                    "sum by (kind) (rate(vitrine_gateway_zero_results_total{@}[@]))"
                    " / (sum by (kind) (rate(vitrine_gateway_searches_total{@}[@])) > 0)",
                    "{{kind}}",
                )
            ],
        ),
        Panel(
            "Searches by profile",
            "A second.",
            "reqps",
            [Series("sum by (profile) (rate(vitrine_gateway_searches_total{@}[@]))", "{{profile}}")],
            Style.STACKED,
        ),
    ],
)

_RANKING = Row(
    "What the ranker did",
    [
        Panel(
            "Candidates",
            "Of one ranking, all shards together.",
            "none",
            [
                Series(
                    f"histogram_quantile({share}, sum by (le)"
                    f" (rate(vitrine_ranker_candidates_bucket{{@}}[@])))",
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.95)
            ],
        ),
        Panel(
            "Dropped, by reason",
            "Candidates a second that contradict what is known of the query, by the label.",
            "cps",
            [Series("sum by (reason) (rate(vitrine_ranker_dropped_total{@}[@]))", "{{reason}}")],
        ),
        Panel(
            "Dropped of all candidates",
            "A high share leaves too few to choose from.",
            "percentunit",
            [
                Series(
                    "sum(rate(vitrine_ranker_dropped_total{@}[@])) /"
                    " sum(rate(vitrine_ranker_candidates_sum{@}[@]))",
                    "dropped",
                )
            ],
        ),
        Panel(
            "Terms that took part",
            "Share of the rankings in which a term had a say. Terms of known labels vanish with the labels.",
            "percentunit",
            [
                Series(
                    "sum by (term) (rate(vitrine_ranker_terms_total{@}[@]))"
                    " / on () group_left () sum(rate(vitrine_ranker_candidates_count{@}[@]))",
                    "{{term}}",
                )
            ],
        ),
        Panel(
            "Without semantics or diversity",
            "Share of the rankings that lacked a stage: the artefact of the generation is not there, or"
            " a vector was missing.",
            "percentunit",
            [
                Series(
                    "sum by (reason) (rate(vitrine_ranker_degraded_total{@}[@]))"
                    " / on () group_left () sum(rate(vitrine_ranker_candidates_count{@}[@]))",
                    "{{reason}}",
                )
            ],
            steps=((0.05, "red"),),
        ),
        Panel(
            "How long ranking takes",
            "At the ranker.",
            "s",
            [
                Series(
                    f"histogram_quantile({share}, sum by (le) "
                    '(rate(grpc_server_handling_seconds_bucket{@, grpc_method="Rank"}[@])))',
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.95, 0.99)
            ],
            steps=((0.1, "red"),),
        ),
        Panel(
            "Classified at writing",
            "Vectors a second that labels were inferred for.",
            "cps",
            [Series("sum(rate(vitrine_ranker_classified_total{@}[@]))", "vectors")],
            width=12,
        ),
        Panel(
            "Feedback",
            "Clicks and other feedback on answers a second, over gRPC.",
            "reqps",
            [
                Series(
                    "sum(rate(grpc_server_handled_total"
                    '{@, grpc_method="RecordFeedback", grpc_code="OK"}[@]))',
                    "feedback",
                )
            ],
            width=12,
        ),
    ],
)

BOARD = Board(
    "vitrine-ranking",
    "Vitrine / Ranking signals",
    "How good answers look, and what took part in their order.",
    [_ANSWERS, _RANKING],
)
