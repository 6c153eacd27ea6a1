"""How large a deployment has to be, reckoned from what was measured.

Everything here is arithmetic on `FIGURES`, each of which says where it was measured. Work is counted in
milliseconds of one core (core-ms) a request and scaled by the rate; `TARGET_UTILISATION` of the cores are
planned for. Nothing near 50 million rows was measured: the work of exact searches is taken to grow with the
rows, that of `ivf` with their square root, as its lists do, and that of `hnsw` with their logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.mesh.errors import InvalidArgument

KINDS = ("auto", "sq8", "flat16", "ivf", "hnsw")
EXACT_KINDS = ("sq8", "flat16")
DEVICES = ("cpu", "cuda")
# Length of a vector in each space that the embedder serves.
DIMENSIONS: Mapping[str, int] = {"resnet50": 2048, "clip": 512, "triplet": 128, "colour": 64}

# Cores that are planned to be busy: room for peaks, and for what a pod that is away leaves to the others.
TARGET_UTILISATION = 0.6
# Rows of a shard up to which `auto` searches exactly (setting `auto_flat_rows`).
AUTO_FLAT_ROWS = 1_000_000
# Shards have this share of rows more or less than others: each has whole ones of 1,024 buckets.
UNEVEN = 0.06
# A lone exact search of a shard should take no longer.
EXACT_SEARCH_MS = 100.0
# Cores that a pod may have; beyond, a shard gets more replicas, and then there are more shards.
MAX_SHARD_CORES = 32
# What a gateway's settings allow.
MAX_SHARDS = 64
MAX_REPLICAS = 8
# Each new photo is looked for among all others in this space (setting `near_duplicate_cosine`).
DUPLICATES_SPACE = "clip"
# Whole cores of an embedder's pod. Its memory is the figure, which was measured with two cores, for each of
# them: what batches take grows with the cores at work, and while a generation is built there are two sets of
# models.
EMBEDDER_CORES = 4

# How long the gateway keeps answers in Redis.
_ANSWER_KEPT_S = 60.0
# Core-ms of a search, on all shards, beyond which an index is worth a look.
_MUCH_WORK_MS = 100.0
_SNAPSHOTS = 3
_JOURNAL_GIB = 1.0
_GIB = float(1 << 30)
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Figure:
    """A number that was measured, or assumed where `machine` is empty, and where it stands."""

    value: float
    unit: str
    source: str
    machine: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether somebody measured it."""
        return bool(self.machine)

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit} ({self.source}{'' if self.is_measured else ', assumed'})"


# What all figures but assumptions were measured on.
MACHINE = "2 cores of a Xeon (AMX), Python 3.11.7"
_SEARCHES = "benchmarks/results/vectorsearch.json sizes.{}x512.kinds.{}.{}"


def _searched(kind: str, queries_per_s: tuple[float, float], peak: float) -> dict[str, Figure]:
    """What was measured of a kind of index on 47,000 and on 200,000 rows of 512 dimensions, 64 callers."""
    small, large = queries_per_s
    where = _SEARCHES.format
    return {
        f"{kind}.47000": Figure(small, "queries/s", where(47000, kind, "queries_per_s"), MACHINE),
        f"{kind}.200000": Figure(large, "queries/s", where(200000, kind, "queries_per_s"), MACHINE),
        f"{kind}.memory": Figure(
            peak, "of the vectors", where(200000, kind, "memory_over_live.peak_rss"), MACHINE
        ),
    }


FIGURES: Mapping[str, Figure] = {
    **_searched("sq8", (859.0, 390.7), 1.784),
    **_searched("flat16", (1093.4, 532.6), 2.054),
    **_searched("ivf", (1283.2, 595.6), 2.503),
    **_searched("hnsw", (564.5, 434.1), 2.546),
    "lone_search": Figure(
        12.875, "ms", "benchmarks/results/vectorsearch.json hybrid_in_server_ms, 47,000 x 2,688", MACHINE
    ),
    "dead_rows": Figure(
        1.4, "times", "docs/operations.md Memory: three tenths of all rows are dead", MACHINE
    ),
    "shard_base": Figure(93.2, "MB", "benchmarks/results/vectorsearch.json empty_rss_mb", MACHINE),
    "snapshot": Figure(
        1.033,
        "of the vectors",
        "benchmarks/results/vectorsearch.json snapshot_bytes, 200,000 x 2,688",
        MACHINE,
    ),
    "embed_photo": Figure(
        90.03, "photos/s", "benchmarks/results/import.json photos_per_s, all spaces, with the import", MACHINE
    ),
    "embed_text": Figure(90.03, "texts/s", "as much work as a photo"),
    "embed_photo_cuda": Figure(900.0, "photos/s", "ten times two cores; run benchmarks/gpu.sh on yours"),
    "embedder_memory": Figure(972.7, "MB", "benchmarks/results/embedder.json rss_after_mb", MACHINE),
    "search_uncached": Figure(
        5.675, "core-ms", "benchmarks/results/gateway.json uncached_cpu_ms_per_request", MACHINE
    ),
    "search_cached": Figure(
        0.8233, "core-ms", "benchmarks/results/gateway.json cached_cpu_ms_per_request", MACHINE
    ),
    "write": Figure(5.675, "core-ms", "as much work for a gateway as a search that is not cached"),
    "rank": Figure(
        0.569,
        "core-ms",
        "benchmarks/results/quality.json fashion-products.profiles.similar.rank_ms.p50, 1,000 candidates",
        MACHINE,
    ),
    "empty_call": Figure(0.25, "core-ms", "benchmarks/results/gateway.json empty_rpc_cpu_ms", MACHINE),
    "product_bytes": Figure(3_000.0, "bytes", "what a product has besides photos"),
    "photo_bytes": Figure(100_000.0, "bytes", "a photo as shops and shoppers have it"),
    "database": Figure(
        2.45, "of the vectors", "catalog.db of the demo catalogue, 129 photos, its log included", MACHINE
    ),
    "answer_bytes": Figure(17_764.0, "bytes", "24 hits of the demo catalogue", MACHINE),
    "candidates_bytes": Figure(
        81_500.0, "bytes", "1,000 candidates, as 115 of the demo catalogue take 9,377", MACHINE
    ),
}


@dataclass(frozen=True)
class Demand:
    """What is asked of a deployment.

    Rates are a second and at their peak. `spaces` are those that a catalogue has vectors in; `replicas` those
    of a shard at least. Shares are of the searches; those that are neither by photo nor by text are by
    product. Raises InvalidArgument naming the field that cannot be.
    """

    products: int
    qps: float
    photos_per_product: float = 1.2
    image_share: float = 0.7
    text_share: float = 0.2
    spaces: Sequence[str] = tuple(DIMENSIONS)
    index: str = "auto"
    device: str = "cpu"
    writes_per_s: float = 0.0
    cache_hit_ratio: float = 0.3
    replicas: int = 2
    shard_memory_gib: float = 64.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("products", 1, 10**12),
            ("qps", 0, 10**7),
            ("photos_per_product", 0.01, 1_000),
            ("image_share", 0, 1),
            ("text_share", 0, 1),
            ("writes_per_s", 0, 10**6),
            ("cache_hit_ratio", 0, 1),
            ("replicas", 1, MAX_REPLICAS),
            ("shard_memory_gib", 1, 10**5),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidArgument(name, f"{value:g} is not {least:g} to {most:g}")
        if self.image_share + self.text_share > 1 + 1e-9:
            raise InvalidArgument("text_share", "photos and texts are more than all searches")
        if self.index not in KINDS:
            raise InvalidArgument("index", f"{self.index!r} is none of {', '.join(KINDS)}")
        if self.device not in DEVICES:
            raise InvalidArgument("device", f"{self.device!r} is none of {', '.join(DEVICES)}")
        unknown = [space for space in self.spaces if space not in DIMENSIONS]
        if unknown or not self.spaces or len(set(self.spaces)) < len(self.spaces):
            raise InvalidArgument("spaces", f"are one or more, once each, of {', '.join(DIMENSIONS)}")

    @property
    def rows(self) -> int:
        """Photos."""
        return math.ceil(self.products * self.photos_per_product)

    @property
    def dimensions(self) -> int:
        """Of all spaces together."""
        return sum(DIMENSIONS[space] for space in self.spaces)

    @property
    def vector_bytes(self) -> int:
        """All vectors, in float32."""
        return self.rows * self.dimensions * _FLOAT_BYTES


@dataclass(frozen=True)
class Quantity:
    """One number of the answer: what it is, how it comes about, and the figures that it stands on."""

    part: str
    name: str
    value: float
    unit: str
    how: str
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pods:
    """So many pods, each with cores and memory (GiB)."""

    count: int
    cores: int
    memory_gib: int


@dataclass(frozen=True)
class Sizing:
    """What a demand takes."""

    demand: Demand
    kind: str
    shards: int
    replicas: int
    shard: Pods
    disk_gib: int
    embedder: Pods
    gateway: Pods
    feed: Pods
    ranker: Pods
    quantities: Sequence[Quantity]
    warnings: Sequence[str]

    @property
    def pods(self) -> Mapping[str, Pods]:
        """The pods of each part."""
        return {
            "vectorsearch": self.shard,
            "embedder": self.embedder,
            "gateway": self.gateway,
            "feed": self.feed,
            "ranker": self.ranker,
        }

    @property
    def cores(self) -> int:
        """Of all pods."""
        return sum(each.count * each.cores for each in self.pods.values())

    @property
    def memory_gib(self) -> int:
        """Of all pods."""
        return sum(each.count * each.memory_gib for each in self.pods.values())

    @property
    def figures(self) -> Sequence[str]:
        """Names of the figures that the quantities stand on, each once, in their order."""
        return tuple(dict.fromkeys(name for each in self.quantities for name in each.figures))


_Add = Callable[[Quantity], None]


def size(demand: Demand) -> Sizing:
    """What a demand takes.

    Memory, disk and cores of a part, of all its pods together and before they are rounded, grow with every
    number of the demand but `cache_hit_ratio`, as long as the kind of index stays. Raises InvalidArgument
    where more shards would be needed than a gateway takes.
    """
    kind, shards = _shards(demand)
    quantities: list[Quantity] = []
    add = quantities.append
    uncached = _uncached(demand)
    rows_a_shard = math.ceil(demand.rows / shards)

    vectors_gib = demand.vector_bytes / _GIB
    add(
        Quantity(
            "vectorsearch", "vectors", vectors_gib, "GiB",
            f"{demand.rows:,} photos x {demand.dimensions:,} dimensions x {_FLOAT_BYTES} bytes",
        )
    )  # fmt: skip
    memory_gib = _shard_memory_gib(demand, kind, shards)
    add(
        Quantity(
            "vectorsearch", "memory of a shard", memory_gib, "GiB",
            f"{rows_a_shard:,} rows as {kind}, at its peak, and with dead rows",
            (f"{kind}.memory", "dead_rows", "shard_base"),
        )
    )  # fmt: skip
    work_ms = search_work_ms(kind, rows_a_shard, demand.spaces)
    busy = _shard_cores(demand, kind, shards)
    looked_up = _photos_looked_for(demand)
    add(
        Quantity(
            "vectorsearch", "cores of a shard", busy, "cores",
            f"{uncached:,.0f} searches/s x {work_ms:,.2f} core-ms{_near_duplicates(looked_up)}, "
            "all its replicas together",
            (f"{kind}.47000", f"{kind}.200000"),
        )
    )  # fmt: skip
    replicas = max(demand.replicas, math.ceil(busy / MAX_SHARD_CORES))
    shard = Pods(shards * replicas, max(2, math.ceil(busy / replicas)), math.ceil(memory_gib))
    add(Quantity("vectorsearch", "shards", shards, "", _why_shards(demand, kind), ("lone_search",)))
    add(
        Quantity(
            "vectorsearch", "replicas of a shard", replicas, "", f"{MAX_SHARD_CORES} cores a pod at most"
        )
    )
    disk_gib = _SNAPSHOTS * FIGURES["snapshot"].value * vectors_gib / shards + _JOURNAL_GIB
    add(
        Quantity(
            "vectorsearch", "disk of a shard", disk_gib, "GiB",
            "two snapshots, one that is being written, a journal", ("snapshot",),
        )
    )  # fmt: skip

    embedder = _embedder(demand, uncached, add)
    gateway_cores = (
        _busy_cores(uncached, FIGURES["search_uncached"].value)
        + _busy_cores(demand.qps - uncached, FIGURES["search_cached"].value)
        + _busy_cores(demand.writes_per_s, FIGURES["write"].value)
    )
    add(
        Quantity(
            "gateway", "cores", gateway_cores, "cores",
            f"{uncached:,.0f} searches/s not cached, {demand.qps - uncached:,.0f} cached, "
            f"{demand.writes_per_s:,.0f} writes/s; a process uses one core",
            ("search_uncached", "search_cached", "write"),
        )
    )  # fmt: skip
    ranker_cores = _busy_cores(uncached, FIGURES["rank"].value + FIGURES["empty_call"].value)
    add(
        Quantity(
            "ranker", "cores", ranker_cores, "cores", f"{uncached:,.0f} searches/s", ("rank", "empty_call")
        )
    )
    _around(demand, uncached, shards, add)
    return Sizing(
        demand=demand,
        kind=kind,
        shards=shards,
        replicas=replicas,
        shard=shard,
        disk_gib=math.ceil(disk_gib),
        embedder=embedder,
        gateway=Pods(max(2, math.ceil(gateway_cores)), 1, 2),
        feed=Pods(2, 1, 1),
        ranker=Pods(max(2, math.ceil(ranker_cores)), 1, 1),
        quantities=tuple(quantities),
        warnings=tuple(
            _warnings(demand, kind, shards=shards, replicas=replicas, rows=rows_a_shard, work_ms=work_ms)
        ),
    )


def search_work_ms(kind: str, rows: int, spaces: Sequence[str]) -> float:
    """Core-ms of one search of a shard with so many rows, under load.

    What was measured on two numbers of rows of 512 dimensions, carried on: in a straight line for exact
    kinds, with the square root for `ivf` and the logarithm for `hnsw`, and in proportion to the dimensions.
    """
    small, large = (2e3 / FIGURES[f"{kind}.{each}"].value for each in (47000, 200000))
    shares = [DIMENSIONS[space] / 512 for space in spaces]
    if kind == "ivf":
        # Twice the square root of the rows are the lists, and half of it are the rows of each.
        return sum(max(small, large * math.sqrt(rows / 200_000)) * share for share in shares)
    if kind == "hnsw":
        slope = (large - small) / math.log(200_000 / 47_000)
        return sum(max(small, large + slope * math.log(rows / 200_000)) * share for share in shares)
    slope = (large - small) / (200_000 - 47_000)
    # What does not grow with the rows is there once.
    return (small - slope * 47_000) + slope * rows * sum(shares)


def lone_search_ms(rows: float, dimensions: int) -> float:
    """Milliseconds of an exact search that has a shard to itself."""
    return FIGURES["lone_search"].value * rows / 47_000 * dimensions / 2_688


def _shards(demand: Demand) -> tuple[str, int]:
    """The kind of index, and the fewest shards that have room, are quick enough, and have replicas enough."""
    kinds = {n: _kind(demand, n) for n in range(1, MAX_SHARDS + 1) if not _is_open(demand, n)}
    last = max(kinds)
    takes = f"{last} of the {MAX_SHARDS} shards that a gateway takes"
    roomy = [n for n in kinds if _shard_memory_gib(demand, kinds[n], n) <= demand.shard_memory_gib]
    if not roomy:
        memory_gib = math.ceil(_shard_memory_gib(demand, kinds[last], last))
        raise InvalidArgument("shard_memory_gib", f"{takes} need {memory_gib:,} GiB each as {kinds[last]}")
    quick = [n for n in roomy if not _is_slow(demand, kinds[n], n)]
    if not quick:
        slow = f"more than {EXACT_SEARCH_MS:g} ms for a lone search as {kinds[last]}"
        raise InvalidArgument("index", f"{takes} need {slow}")
    for shards in quick:
        cores = _shard_cores(demand, kinds[shards], shards)
        if cores <= MAX_REPLICAS * MAX_SHARD_CORES:
            return kinds[shards], shards
    most = f"{MAX_REPLICAS} replicas with {MAX_SHARD_CORES} are the most"
    needed = f"{shards} shards as {kinds[shards]} need {math.ceil(cores):,} cores each"
    raise InvalidArgument("qps", f"{needed}: {most}")


def _kind(demand: Demand, shards: int) -> str:
    """The kind of index; `auto` is judged as a shard judges it, by its own rows."""
    if demand.index != "auto":
        return demand.index
    return "ivf" if demand.rows / shards > AUTO_FLAT_ROWS else "sq8"


def _is_open(demand: Demand, shards: int) -> bool:
    """Whether `auto` would be one kind in some shards and another in others."""
    uneven = 0.0 if shards == 1 else UNEVEN
    return demand.index == "auto" and abs(demand.rows / shards / AUTO_FLAT_ROWS - 1) < uneven


def _is_slow(demand: Demand, kind: str, shards: int) -> bool:
    """Whether a lone search that reads every row takes too long."""
    return kind in EXACT_KINDS and lone_search_ms(demand.rows / shards, demand.dimensions) > EXACT_SEARCH_MS


def _shard_cores(demand: Demand, kind: str, shards: int) -> float:
    """Cores of all replicas of a shard together, for searches and for near duplicates of new photos."""
    rows = math.ceil(demand.rows / shards)
    searched = _busy_cores(_uncached(demand), search_work_ms(kind, rows, demand.spaces))
    return searched + _busy_cores(_photos_looked_for(demand), search_work_ms(kind, rows, [DUPLICATES_SPACE]))


def _photos_looked_for(demand: Demand) -> float:
    """New photos a second whose near duplicates every shard is asked for."""
    is_looked_for = DUPLICATES_SPACE in demand.spaces
    return demand.writes_per_s * demand.photos_per_product if is_looked_for else 0.0


def _near_duplicates(photos_per_s: float) -> str:
    return f", and near duplicates of {photos_per_s:,.0f} photos/s" if photos_per_s else ""


def _uncached(demand: Demand) -> float:
    """Searches a second that the cache does not answer."""
    return demand.qps * (1 - demand.cache_hit_ratio)


def _memory_factor(kind: str) -> float:
    return FIGURES[f"{kind}.memory"].value * FIGURES["dead_rows"].value


def _shard_memory_gib(demand: Demand, kind: str, shards: int) -> float:
    base = FIGURES["shard_base"].value * 1e6
    return (demand.vector_bytes / shards * _memory_factor(kind) + base) / _GIB


def _why_shards(demand: Demand, kind: str) -> str:
    most = f"{demand.shard_memory_gib:g} GiB each, and {MAX_REPLICAS} replicas, at most"
    return f"{most}, and {EXACT_SEARCH_MS:g} ms for a lone search" if kind in EXACT_KINDS else most


def _busy_cores(per_s: float, core_ms: float) -> float:
    return per_s * core_ms / 1e3 / TARGET_UTILISATION


def _embedder(demand: Demand, uncached: float, add: _Add) -> Pods:
    images = uncached * demand.image_share + demand.writes_per_s * demand.photos_per_product
    texts = uncached * demand.text_share
    asked = f"{images:,.0f} photos/s and {texts:,.0f} texts/s"
    memory_gib = math.ceil(EMBEDDER_CORES * FIGURES["embedder_memory"].value * 1e6 / _GIB)
    if demand.device == "cuda":
        cards = (images + texts) / FIGURES["embed_photo_cuda"].value / TARGET_UTILISATION
        add(Quantity("embedder", "GPUs", cards, "cards", asked, ("embed_photo_cuda", "embed_text")))
        return Pods(max(1, math.ceil(cards)), EMBEDDER_CORES, memory_gib)
    core_ms = [2e3 / FIGURES[name].value for name in ("embed_photo", "embed_text")]
    cores = _busy_cores(images, core_ms[0]) + _busy_cores(texts, core_ms[1])
    add(
        Quantity("embedder", "cores", cores, "cores", asked, ("embed_photo", "embed_text", "embedder_memory"))
    )
    return Pods(max(2, math.ceil(cores / EMBEDDER_CORES)), EMBEDDER_CORES, memory_gib)


def _around(demand: Demand, uncached: float, shards: int, add: _Add) -> None:
    """What is not ours: store, Redis, network."""
    products = demand.products * FIGURES["product_bytes"].value
    vectors = demand.vector_bytes * FIGURES["database"].value
    pictures = demand.rows * FIGURES["photo_bytes"].value / _GIB
    add(
        Quantity(
            "store", "database", (products + vectors) / _GIB, "GiB",
            "products and their vectors in one generation, once", ("product_bytes", "database"),
        )
    )  # fmt: skip
    add(Quantity("store", "pictures", pictures, "GiB", f"{demand.rows:,} photos", ("photo_bytes",)))
    redis = uncached * _ANSWER_KEPT_S * FIGURES["answer_bytes"].value / _GIB
    add(
        Quantity(
            "redis", "maxmemory", redis, "GiB", "answers until they are too old; less costs hits alone",
            ("answer_bytes",),
        )
    )  # fmt: skip
    up = uncached * demand.image_share * FIGURES["photo_bytes"].value * 8 / 1e6
    between = uncached * shards * FIGURES["candidates_bytes"].value * 8 / 1e6
    add(
        Quantity(
            "network", "photos of queries", up, "Mbit/s", "to gateways, and on to embedders", ("photo_bytes",)
        )
    )
    add(
        Quantity(
            "network", "shards to gateways", between, "Mbit/s",
            f"{uncached:,.0f} searches/s x {shards} shards", ("candidates_bytes",),
        )
    )  # fmt: skip


def _warnings(
    demand: Demand, kind: str, *, shards: int, replicas: int, rows: int, work_ms: float
) -> list[str]:
    """What the numbers do not say, or where measurements do not reach; `rows` are those of a shard."""
    found = []
    if rows > 200_000:
        growth = {"ivf": "with the square root of the rows", "hnsw": "with their logarithm"}.get(
            kind, "in proportion to the rows"
        )
        found.append(
            f"a shard has {rows:,} rows and 200,000 were measured: work is carried on {growth}, memory in "
            "proportion; measure one shard before you buy the others"
        )
    if tuple(demand.spaces) != ("clip",):
        found.append(
            "rates under load were measured with 512 dimensions in one space: more are taken to cost in "
            "proportion"
        )
    if shards > 1:
        found.append(
            "a gateway was measured with one shard: putting together the answers of more is not counted"
        )
    if "resnet50" in demand.spaces and shards > 1:
        share = DIMENSIONS["resnet50"] / demand.dimensions
        found.append(f"resnet50 is {share:.0%} of memory and work: compare --spaces without it")
    if kind in EXACT_KINDS and shards * work_ms > _MUCH_WORK_MS:
        found.append("exact searches of so many rows take many cores: compare --index ivf")
    if demand.device == "cuda":
        found.append("no card was measured: the rate of one is a guess, benchmarks/gpu.sh measures yours")
    if demand.text_share:
        found.append("the work of a text was not measured, and is taken to be that of a photo")
    if demand.writes_per_s:
        found.append("searches beside 1,000 writes/s had up to six times the p99 of those without")
    if demand.replicas == 1:
        found.append("a shard of one replica is missing from answers whenever its pod is replaced")
    if replicas > demand.replicas:
        found.append(
            f"the rate takes {replicas} replicas of each shard with up to {MAX_SHARD_CORES} cores; "
            "2 cores were measured"
        )
    found.append("cores are those of the machine that was measured, and figures of it vary by a third")
    return found


def values(sizing: Sizing) -> dict[str, object]:
    """What of the chart's values says the same; the secret has the URLs of MongoDB and Redis."""
    demand = sizing.demand
    shard, cores = _resources(sizing.shard), sizing.shard.cores
    is_cuda = demand.device == "cuda"
    embedder: dict[str, object] = {"enabled": True, "replicaCount": sizing.embedder.count}
    if not is_cuda:
        embedder["resources"] = _resources(sizing.embedder)
    return {
        "store": {"existingSecret": "vitrine-stores"},
        "cache": {"existingSecret": "vitrine-stores"},
        "gateway": {"replicaCount": sizing.gateway.count, "resources": _resources(sizing.gateway)},
        "feed": {"enabled": True, "replicaCount": sizing.feed.count},
        "ranker": {"replicaCount": sizing.ranker.count, "resources": _resources(sizing.ranker)},
        "embedder": {
            "classes": {"cuda": embedder, "cpu": {"enabled": False}} if is_cuda else {"cpu": embedder}
        },
        "vectorsearch": {
            "sets": {"a": {"shards": sizing.shards, "replicas": sizing.replicas}},
            "settings": {"index_kinds": demand.index, "search_threads": cores},
            "resources": shard,
            "persistence": {"size": f"{sizing.disk_gib}Gi"},
        },
    }


def _resources(pods: Pods) -> dict[str, dict[str, str]]:
    """Requests and limits, which are the same: who plans cores has them."""
    each = {"cpu": str(pods.cores), "memory": f"{pods.memory_gib}Gi", "ephemeral-storage": "2Gi"}
    return {"requests": each, "limits": each}
