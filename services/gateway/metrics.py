"""What the gateway counts, beside what every server does."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.mesh import profiles, stages

CACHE = Counter("vitrine_gateway_cache", "Searches by where their answer came from.", ["outcome"])
CACHE_LOOKUPS = Counter(
    "vitrine_gateway_cache_lookups",
    "Values looked for, by layer and kind: `hit`, `miss`, `failed`, `skipped` while the layer is left alone.",
    ["layer", "kind", "outcome"],
)
CACHE_SAVED_SECONDS = Counter(
    "vitrine_gateway_cache_saved_seconds", "What the values that were found took to make.", ["layer", "kind"]
)
CACHE_PUTS = Counter(
    "vitrine_gateway_cache_puts", "Values given to Redis: `kept`, `failed` or `skipped`.", ["outcome"]
)
CACHE_BYTES = Gauge("vitrine_gateway_cache_bytes", "What the cache in memory holds, with its overhead.")
CACHE_EVICTIONS = Counter(
    "vitrine_gateway_cache_evictions", "Values that left memory before their time, to make room."
)
CACHE_RESTING = Gauge(
    "vitrine_gateway_cache_resting", "1 from a failure of Redis until it works again.", ["direction"]
)
QUERY_LOG = Counter(
    "vitrine_gateway_query_log",
    "Answered searches: `kept` in the query log, or `dropped` because the store did not keep up.",
    ["outcome"],
)
ACCESS_REFUSED = Counter("vitrine_gateway_access_refused", "Requests that were not let in.", ["reason"])
DEGRADED = Counter("vitrine_gateway_degraded", "Answers that are less than they could be.", ["reason"])
SEARCHES = Counter(
    "vitrine_gateway_searches",
    "Answered searches by the kind of query: `image`, `text`, `product`, `vector`, `mixed` of several kinds.",
    ["kind", "profile"],
)
ZERO_RESULTS = Counter("vitrine_gateway_zero_results", "Searches without a hit, by kind of query.", ["kind"])
HITS = Counter("vitrine_gateway_hits", "Hits that were given, by the band of their similarity.", ["band"])
UPSERTS = Counter("vitrine_gateway_upserts", "Products that were given to be written.", ["outcome"])
NEAR_DUPLICATES = Counter(
    "vitrine_gateway_near_duplicates", "Products that were written and show the same as others."
)
LOG_HEAD = Gauge("vitrine_gateway_log_head", "The last revision of the change log.")
LOG_ENTRY_CHANGES = Histogram(
    "vitrine_gateway_log_entry_changes", "Changes in an entry of the log.", buckets=(1, 4, 16, 64, 256)
)
FEEDS = Gauge("vitrine_gateway_feeds", "Shards that follow the log.")
HEDGES = Counter(
    "vitrine_gateway_hedges",
    "Second replicas asked because the first was slow: `won` when theirs was the answer, `lost`, `failed` "
    "when there was none, `withheld` for want of budget.",
    ["outcome"],
)
FAILOVERS = Counter(
    "vitrine_gateway_failovers",
    "Second replicas asked because the first failed: it was `away`, or `behind` the revision asked for.",
    ["reason"],
)
REPLICAS_SET_ASIDE = Counter(
    "vitrine_gateway_replicas_set_aside", "Times that a replica failed and was left alone for a while."
)
REPLICAS = Gauge(
    "vitrine_gateway_replicas", "Replicas by what they last told of themselves.", ["set", "state"]
)
SHARD_REPLICAS = Gauge(
    "vitrine_gateway_shard_replicas_caught_up",
    "Replicas of a shard that answer and have been at the feed's head since they started.",
    ["set", "shard"],
)
SHARD_SET_IN_USE = Gauge("vitrine_gateway_shard_set_in_use", "1 for the set that searches go to.", ["set"])

KINDS = ("image", "text", "product", "vector", "mixed")
BANDS = ("high", "medium", "low")
SEARCH_STAGES = ("embed", "vectors", "search", "rank", "metadata")
WRITE_PREFIX = "write_"
WRITE_STAGES = ("fetch", "embed", "media", "classify", "duplicates", "commit")


def declare() -> None:
    """Let every series exist from the start, at zero."""
    for outcome in ("bypass", "miss", "hit", "shared"):
        CACHE.labels(outcome)
    for outcome in ("kept", "failed", "skipped"):
        CACHE_PUTS.labels(outcome)
    for direction in ("read", "write"):
        CACHE_RESTING.labels(direction)
    for outcome in ("kept", "dropped"):
        QUERY_LOG.labels(outcome)
    for reason in (
        "CREDENTIAL_MISSING",
        "KEY_INVALID",
        "KEY_EXPIRED",
        "TOKEN_INVALID",
        "TOKEN_EXPIRED",
        "RATE_LIMITED",
    ):
        ACCESS_REFUSED.labels(reason)
    for kind in KINDS:
        SEARCHES.labels(kind, profiles.DEFAULT)
        ZERO_RESULTS.labels(kind)
    for band in BANDS:
        HITS.labels(band)
    for reason in ("ranker", "metadata", "shard", "semantics", "diversity"):
        DEGRADED.labels(reason)
    for outcome in ("written", "unchanged", "failed"):
        UPSERTS.labels(outcome)
    for outcome in ("won", "lost", "failed", "withheld"):
        HEDGES.labels(outcome)
    for reason in ("away", "behind"):
        FAILOVERS.labels(reason)
    stages.declare(SEARCH_STAGES)
    stages.declare(WRITE_STAGES, prefix=WRITE_PREFIX)
