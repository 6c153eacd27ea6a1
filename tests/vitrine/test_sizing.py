from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import settings
from services.mesh.buckets import BUCKETS, buckets_of
from services.mesh.errors import InvalidArgument
from services.vectorsearch.indexes.kinds import Kinds
from vitrine.sizing import (
    AUTO_FLAT_ROWS,
    DIMENSIONS,
    EXACT_KINDS,
    FIGURES,
    KINDS,
    MAX_REPLICAS,
    MAX_SHARD_CORES,
    MAX_SHARDS,
    TARGET_UTILISATION,
    Demand,
    Quantity,
    Sizing,
    lone_search_ms,
    search_work_ms,
    size,
)

ROOT = Path(__file__).resolve().parents[2]
# Parts of which there is one number a shard.
A_SHARD = "of a shard"


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    """Anything that can be asked for, and may grow fourfold without taking more shards than there may be."""
    image_share = draw(st.floats(0, 1))
    return Demand(
        products=draw(st.integers(1, 1_000_000)),
        qps=draw(st.floats(0, 1_000)),
        photos_per_product=draw(st.floats(0.5, 3)),
        image_share=image_share,
        text_share=draw(st.floats(0, 1)) * (1 - image_share),
        spaces=draw(st.lists(st.sampled_from(list(DIMENSIONS)), min_size=1, max_size=4, unique=True)),
        index=draw(st.sampled_from([kind for kind in KINDS if kind != "auto"])),
        device=draw(st.sampled_from(["cpu", "cuda"])),
        writes_per_s=draw(st.floats(0, 300)),
        cache_hit_ratio=draw(st.floats(0, 1)),
        replicas=draw(st.integers(1, 2)),
    )


def _total(sizing: Sizing, quantity: Quantity) -> float:
    """Of all pods of a part together, before it is rounded."""
    return quantity.value * (sizing.shards if quantity.name.endswith(A_SHARD) else 1)


def _totals(sizing: Sizing) -> dict[tuple[str, str], float]:
    return {(each.part, each.name): _total(sizing, each) for each in sizing.quantities}


@given(
    demand=demands(),
    grown=st.sampled_from(["products", "qps", "photos_per_product", "writes_per_s", "replicas"]),
    factor=st.floats(1, 4),
)
def test_more_takes_no_less(demand: Demand, grown: str, factor: float) -> None:
    """With more products, photos, searches, writes or replicas no number becomes smaller."""
    value = getattr(demand, grown) * factor
    more = replace(demand, **{grown: math.ceil(value) if grown in {"products", "replicas"} else value})
    before, after = _totals(size(demand)), _totals(size(more))
    assert before.keys() == after.keys()
    for name, least in before.items():
        assert after[name] >= least * (1 - 1e-9), name


@given(demand=demands(), more=st.floats(0, 1))
def test_a_better_cache_takes_no_more(demand: Demand, more: float) -> None:
    """What is answered from the cache costs gateways little and others nothing."""
    ratio = demand.cache_hit_ratio + more * (1 - demand.cache_hit_ratio)
    before, after = _totals(size(demand)), _totals(size(replace(demand, cache_hit_ratio=ratio)))
    for name, most in before.items():
        assert after[name] <= most * (1 + 1e-9), name


@given(demand=demands())
def test_a_further_space_takes_no_less(demand: Demand) -> None:
    """More vectors a photo are more memory, disk and work."""
    wider = replace(demand, spaces=tuple(DIMENSIONS))
    before, after = _totals(size(demand)), _totals(size(wider))
    for name, least in before.items():
        assert after[name] >= least * (1 - 1e-9), name


@given(demand=demands())
def test_pods_hold_what_they_have_to(demand: Demand) -> None:
    """Pods have the memory and the cores that were reckoned, and their sum is what is told in all."""
    sizing = size(demand)
    of = {(each.part, each.name): each.value for each in sizing.quantities}
    assert sizing.shard.count == sizing.shards * sizing.replicas
    assert sizing.shard.memory_gib >= of["vectorsearch", "memory of a shard"]
    assert sizing.shard.memory_gib <= demand.shard_memory_gib
    assert sizing.shard.cores * sizing.replicas >= of["vectorsearch", "cores of a shard"]
    assert sizing.shard.cores <= MAX_SHARD_CORES
    assert demand.replicas <= sizing.replicas <= settings.MAX_REPLICAS
    assert sizing.shards <= settings.MAX_SHARDS
    assert sizing.gateway.count * sizing.gateway.cores >= of["gateway", "cores"]
    assert sizing.ranker.count * sizing.ranker.cores >= of["ranker", "cores"]
    if demand.device == "cpu":
        assert sizing.embedder.count * sizing.embedder.cores >= of["embedder", "cores"]
    assert sizing.memory_gib == sum(pods.count * pods.memory_gib for pods in sizing.pods.values())
    assert sizing.cores == sum(pods.count * pods.cores for pods in sizing.pods.values())


@given(demand=demands())
def test_memory_is_that_of_the_vectors_and_what_was_measured_beside_them(demand: Demand) -> None:
    """All shards together hold the float32 vectors times the factors of their index, each with its base."""
    sizing = size(demand)
    factor = FIGURES[f"{sizing.kind}.memory"].value * FIGURES["dead_rows"].value
    wanted = demand.vector_bytes * factor + sizing.shards * FIGURES["shard_base"].value * 1e6
    told = next(each.value for each in sizing.quantities if each.name == "memory of a shard")
    assert told * sizing.shards * (1 << 30) == pytest.approx(wanted)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "auto"])
@pytest.mark.parametrize("rows", [47_000, 200_000])
def test_what_was_measured_is_what_is_reckoned(kind: str, rows: int) -> None:
    """At the rows and dimensions of a measurement the work is what two cores did, for `ivf` nearly so."""
    measured = 2e3 / FIGURES[f"{kind}.{rows}"].value
    assert search_work_ms(kind, rows, ["clip"]) == pytest.approx(
        measured, rel=0.05 if kind == "ivf" else 1e-9
    )


def test_exact_shards_answer_a_lone_search_in_time() -> None:
    """Exact kinds get as many shards as it takes for that; indexes need no more than their memory."""
    for kind in EXACT_KINDS:
        sizing = size(Demand(products=5_000_000, qps=10, index=kind))
        rows = sizing.demand.rows / sizing.shards
        assert lone_search_ms(math.ceil(rows), sizing.demand.dimensions) <= 100.1
    assert size(Demand(products=5_000_000, qps=10, index="ivf")).shards < sizing.shards


def test_auto_is_chosen_by_the_rows_of_a_shard() -> None:
    """Few rows are searched exactly; a shard with more than the limit has an approximate index."""
    few = size(Demand(products=100_000, qps=10))
    many = size(Demand(products=50_000_000, qps=10))
    assert (few.kind, many.kind) == ("sq8", "ivf")
    assert many.demand.rows / many.shards > AUTO_FLAT_ROWS


@pytest.mark.parametrize("memory_gib", [2.0, 4.0, 8.0, 16.0, 64.0])
@pytest.mark.parametrize("spaces", [("clip",), ("clip", "triplet"), tuple(DIMENSIONS)])
@pytest.mark.parametrize("photos", [50_000, 1_000_000, 3_000_000, 20_000_000, 50_000_000])
def test_auto_is_what_shards_make_of_it(photos: int, spaces: tuple[str, ...], memory_gib: float) -> None:
    """Every shard takes the kind that was planned, also those with the most and with the fewest rows."""
    demand = Demand(photos, 10, photos_per_product=1, spaces=spaces, shard_memory_gib=memory_gib)
    try:
        sizing = size(demand)
    except InvalidArgument as refused:
        assert refused.field in {"index", "shard_memory_gib"}
        return
    kinds = Kinds.parse("auto", auto_flat_rows=AUTO_FLAT_ROWS)
    for shard in range(sizing.shards):
        rows = demand.rows * len(buckets_of(shard, sizing.shards)) // BUCKETS
        assert kinds.kind_of("clip", rows) == sizing.kind
    assert sizing.shard.memory_gib <= memory_gib


def test_limits_are_those_of_a_gateway() -> None:
    """No more shards and replicas are planned than its settings allow."""
    assert (MAX_SHARDS, MAX_REPLICAS) == (settings.MAX_SHARDS, settings.MAX_REPLICAS)


def test_more_replicas_than_there_may_be_are_more_shards() -> None:
    """A rate that would take nine replicas of a shard takes more shards, each with fewer rows."""
    modest, high = (size(Demand(50_000_000, qps)) for qps in (2_000, 5_000))
    assert modest.replicas < high.replicas == MAX_REPLICAS
    assert high.shards > modest.shards
    assert high.shard.cores <= MAX_SHARD_CORES


@pytest.mark.parametrize(
    ("demand", "field", "said"),
    [
        (Demand(200_000_000, 200), "shard_memory_gib", "64 of the 64 shards .* need 135 GiB each as ivf"),
        (
            Demand(10**8, 1, index="sq8", shard_memory_gib=10**5),
            "index",
            "64 of the 64 shards .* more than 100 ms .* as sq8",
        ),
        (Demand(50_000_000, 10_000), "qps", "56 shards as ivf need .* cores each: 8 replicas with 32"),
    ],
)
def test_what_a_gateway_cannot_take_is_refused(demand: Demand, field: str, said: str) -> None:
    """It is said what would be needed of each of as many shards as there may be."""
    with pytest.raises(InvalidArgument, match=said) as refused:
        size(demand)
    assert refused.value.field == field


def test_new_photos_are_searched_for() -> None:
    """The near duplicates of each cost every shard a search in one space, where the catalogue has that."""
    few, many = (size(Demand(5_000_000, 10, writes_per_s=rate)) for rate in (0, 1_000))
    cores = [next(each for each in found.quantities if "cores of" in each.name) for found in (few, many)]
    rows = math.ceil(few.demand.rows / few.shards)
    photos_per_s = 1_000 * few.demand.photos_per_product
    wanted = photos_per_s * search_work_ms(few.kind, rows, ["clip"]) / 1e3 / TARGET_UTILISATION
    assert few.shards == many.shards
    assert cores[1].value - cores[0].value == pytest.approx(wanted)
    assert "near duplicates of 1,200 photos/s" in cores[1].how
    without = [
        size(Demand(5_000_000, 10, writes_per_s=rate, spaces=["triplet"])).shard for rate in (0, 1_000)
    ]
    assert without[0] == without[1]


def test_warnings_say_what_was_not_measured() -> None:
    """More rows than any measurement had, other dimensions, a card and writes are told."""
    told = " ".join(size(Demand(50_000_000, 2_000, device="cuda", writes_per_s=10, replicas=1)).warnings)
    for words in (
        "200,000 were measured",
        "no card was measured",
        "writes/s",
        "one replica",
        "512 dimensions",
    ):
        assert words in told
    modest = " ".join(size(Demand(100_000, 10, spaces=("clip",), text_share=0)).warnings)
    assert "were measured:" not in modest
    assert "card" not in modest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("products", 0), ("qps", -1), ("qps", math.nan), ("photos_per_product", 0), ("image_share", 1.1)),
        *(("text_share", 0.5), ("spaces", ()), ("spaces", ("vgg",)), ("spaces", ("clip", "clip"))),
        *(("index", "pq"), ("device", "tpu"), ("cache_hit_ratio", 2), ("replicas", 0)),
        ("replicas", 9),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any) -> None:
    """The field that is wrong is named."""
    with pytest.raises(InvalidArgument) as refused:
        Demand(**({"products": 10, "qps": 1} | {field: value}))
    assert refused.value.field == field


def _found(document: Any, path: str) -> float:
    """A number in a JSON document by its path; names may hold dots."""
    while path:
        name = max((each for each in document if path == each or path.startswith(f"{each}.")), key=len)
        document, path = document[name], path[len(name) + 1 :]
    return float(document)


@pytest.mark.parametrize(
    "name", [name for name, figure in FIGURES.items() if figure.source.startswith("benchmarks/results/")]
)
def test_figures_are_those_of_the_results(name: str) -> None:
    """Each figure that names a result and a key is the number that stands there."""
    figure = FIGURES[name]
    file, path = figure.source.split(maxsplit=1)
    document = json.loads((ROOT / file).read_text(encoding="utf-8"))
    path = path.partition(",")[0]
    found = _found(document, path)
    if name == "snapshot":
        found /= 200_000 * 2_688 * 4
    assert figure.value == pytest.approx(found, rel=1e-3)
    assert figure.is_measured
