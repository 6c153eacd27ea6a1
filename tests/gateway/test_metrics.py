from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import REGISTRY

from services.gateway import metrics
from services.gateway.shard_sets import ShardSets
from services.mesh import profiles
from tests.gateway.fakes import photo
from tests.gateway.rigs import Rig, image, item, product, text
from tests.gateway.shard_rigs import PRODUCTS, copied, counted
from vitrine.v1 import common_pb2, search_pb2

CAUGHT_UP = "vitrine_gateway_shard_replicas_caught_up"
GONE = common_pb2.Filter(
    all_of=[
        common_pb2.Clause(
            any_of=[
                common_pb2.Condition(attribute="colour", equals=common_pb2.AttributeValue(text="no such one"))
            ]
        )
    ]
)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"vitrine_gateway_{name}_total", labels) or 0.0


def searches(kind: str) -> float:
    return count("searches", kind=kind, profile=profiles.DEFAULT)


def bands() -> dict[str, float]:
    return {band: count("hits", band=band) for band in metrics.BANDS}


def stage_count(stage: str) -> float:
    return REGISTRY.get_sample_value("vitrine_stage_seconds_count", {"stage": stage}) or 0.0


def added(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


async def test_searches_count_by_kind_and_profile(shop: Rig) -> None:
    """A query is of the kind of its parts, and mixed where those differ."""
    before = {kind: searches(kind) for kind in metrics.KINDS}
    await shop.search(image(photo(7)))
    await shop.search(image(photo(8)), image(photo(9)))
    await shop.search(text("red shoes"))
    await shop.search(product("p3"))
    await shop.search(product("p3"), text("red shoes"))
    of_a_space = count("searches", kind="image", profile="clip")
    await shop.search(image(photo(7)), profile="clip")
    assert count("searches", kind="image", profile="clip") == of_a_space + 1
    after = {kind: searches(kind) for kind in metrics.KINDS}
    assert added(after, before) == {"image": 2, "text": 1, "product": 1, "mixed": 1, "vector": 0}


async def test_hits_count_by_band(shop: Rig) -> None:
    """Every hit that was given is in one band, that of its similarity."""
    before = bands()
    response = await shop.search(image(photo(7)), k=9)
    names = [search_pb2.Band.Name(hit.band).removeprefix("BAND_").lower() for hit in response.hits]
    assert added(bands(), before) == {band: names.count(band) for band in metrics.BANDS}
    assert len(names) == 9


async def test_empty_answers_count_by_kind_of_query(shop: Rig) -> None:
    """A search without a hit is one without a hit of its kind alone."""
    before = {kind: count("zero_results", kind=kind) for kind in metrics.KINDS}
    await shop.search(text("red shoes"), filter=GONE)
    after = {kind: count("zero_results", kind=kind) for kind in metrics.KINDS}
    assert added(after, before) == {kind: float(kind == "text") for kind in metrics.KINDS}


def test_what_may_be_counted_is_there_from_the_start() -> None:
    """A rate is right from the first event where its series was there before, at zero."""
    metrics.declare()
    for kind in metrics.KINDS:
        labels = {"kind": kind, "profile": profiles.DEFAULT}
        assert REGISTRY.get_sample_value("vitrine_gateway_searches_total", labels) is not None
        assert REGISTRY.get_sample_value("vitrine_gateway_zero_results_total", {"kind": kind}) is not None
    for band in metrics.BANDS:
        assert REGISTRY.get_sample_value("vitrine_gateway_hits_total", {"band": band}) is not None


async def test_stages_of_writes_are_not_those_of_searches(shop: Rig) -> None:
    """Both embed, and a slow import must not look like a slow search."""
    before = stage_count("embed"), stage_count("write_embed")
    await shop.upsert(item("p31", photos=[photo(31)]))
    assert (stage_count("embed"), stage_count("write_embed")) == (before[0], before[1] + 1)


async def test_a_shard_without_a_replica_is_seen() -> None:
    """Those count that answer and were at the feed's head, shard by shard, of the set in use too."""
    async with copied(2, 2) as shards:
        sets = ShardSets(shards.targets, [], head=lambda: PRODUCTS)
        try:
            await sets.check()
            assert [counted(CAUGHT_UP, set="shards", shard=shard) for shard in "01"] == [2, 2]
            for copy in shards.all[2:]:
                copy.caught_up = False
            await sets.check()
            assert [counted(CAUGHT_UP, set="shards", shard=shard) for shard in "01"] == [2, 0]
        finally:
            await sets.close()
