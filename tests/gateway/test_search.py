from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import field_mask_pb2
from google.protobuf.duration_pb2 import Duration

from services.gateway.replicas import Replicas
from services.gateway.shard_calls import ShardCalls
from services.mesh import deadline
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    VitrineError,
)
from services.mesh.vectors import encode
from tests.gateway.fakes import photo, vector_of
from tests.gateway.rigs import CATALOG, Rig, ids, image, item, product, rigged, text
from tests.patience import until
from vitrine.v1 import common_pb2, search_pb2

NO_CACHE = Duration(seconds=0)
# What was answered before the machine stood still will do.
CACHE = Duration(seconds=600)


def _equals(attribute: str, value: str) -> common_pb2.Filter:
    condition = common_pb2.Condition(attribute=attribute, equals=common_pb2.AttributeValue(text=value))
    return common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[condition])])


def _counts(response: search_pb2.SearchResponse) -> dict[str, int]:
    """How often each value of the first facet is."""
    return {value.value.text: value.count for value in response.facets[0].values}


async def test_the_same_photo_is_first_with_at_least_99(shop: Rig) -> None:
    """A photo of the catalogue finds its product first, with similarity of 99 and more, in the high band."""
    response = await shop.search(image(photo(7)), k=5)
    assert ids(response)[0] == "p7"
    assert response.hits[0].similarity >= 99
    assert response.hits[0].band == search_pb2.BAND_HIGH
    assert response.hits[0].product.title == "p7"
    assert response.hits[0].product.photos[0].id == response.hits[0].photo_id
    assert (response.shards_ok, response.shards_total, list(response.degraded)) == (2, 2, [])
    assert {stage.stage for stage in response.stages} == {"embed", "search", "rank", "metadata"}


async def test_a_product_query_leaves_its_product_out(shop: Rig) -> None:
    """A query by product needs no embedder, returns others, and tells the ranker what is known of it."""
    shop.embedder.fault.error = Unavailable("away")
    response = await shop.search(product("p3"), k=30)
    assert "p3" not in ids(response)
    assert len(response.hits) == 29
    assert [(label.name, label.value) for label in shop.ranker.requests[-1].query.labels] == [
        ("colour", "red")
    ]
    assert ids(await shop.search(product(f"{CATALOG}/products/p3"), k=30)) == ids(response)


async def test_a_text_lives_in_clip_alone(shop: Rig) -> None:
    """A text is compared in the space that takes texts, with all of the visual weight and a neutral 0."""
    response = await shop.search(text("red shoes"), explain=True)
    assert len(response.hits) == 10
    [query] = shop.shards[0].requests[-1].queries
    assert (query.vector.space, query.neutral) == ("clip", 0.0)
    assert query.weight == pytest.approx(1.0)
    assert shop.ranker.requests[-1].query.text == "red shoes"
    assert not shop.ranker.requests[-1].query.HasField("clip_vector")
    assert response.dropped[0].product == f"{CATALOG}/products/p0"
    assert response.hits[0].terms


async def test_parts_are_mixed_by_weight(shop: Rig) -> None:
    """Less of a photo moves the query away from it, and the pictures keep their share of every space."""
    near = await shop.search(image(photo(1)), image(photo(2)), k=30)
    far = await shop.search(image(photo(1)), image(photo(2), weight=-0.5), k=30)
    assert set(ids(near)[:2]) == {"p1", "p2"}
    assert ids(far)[0] == "p1"
    assert ids(far).index("p2") > ids(near).index("p2")
    mixed = await shop.search(image(photo(1)), text("red"), k=1)
    assert len(mixed.hits) == 1
    assert [query.vector.space for query in shop.shards[0].requests[-1].queries] == [
        "clip",
        "resnet50",
        "triplet",
    ]


async def test_a_vector_is_a_query(shop: Rig) -> None:
    """A vector of the caller's is compared in its own space."""
    vector = encode(vector_of(photo(4), "resnet50") * 3, space="resnet50", model_digest="d1")
    assert ids(await shop.search(search_pb2.QueryPart(vector=vector)))[0] == "p4"


async def test_a_space_is_a_profile(shop: Rig) -> None:
    """The name of a space is a profile that compares in that space alone."""
    response = await shop.search(image(photo(5)), profile="triplet", k=1)
    assert ids(response) == ["p5"]
    assert response.profile == "triplet"
    assert [query.vector.space for query in shop.shards[0].requests[-1].queries] == ["triplet"]


async def test_filter_and_facets(shop: Rig) -> None:
    """Only products that pass the filter answer; facet counts of all shards are added up."""
    response = await shop.search(text("any"), k=30, filter=_equals("colour", "red"), facets=["colour"])
    assert sorted(ids(response)) == sorted(f"p{i}" for i in range(1, 30, 2))
    assert _counts(response) == {"red": 15}


async def test_disjunctive_facets_are_another_answer(shop: Rig) -> None:
    """Facets can be counted as if their clauses were not there; neither answer is cached for the other."""
    asked: dict[str, Any] = {
        "k": 10,
        "filter": _equals("colour", "red"),
        "facets": ["colour"],
        "max_staleness": CACHE,
    }
    plain = await shop.search(text("any"), **asked)
    beside = await shop.search(text("any"), **asked, disjunctive_facets=True)
    assert _counts(beside) == {"red": 15, "blue": 15}
    assert ids(beside) == ids(plain)
    assert beside.cache == search_pb2.CACHE_OUTCOME_MISS
    for is_beside, its in ((False, plain), (True, beside)):
        again = await shop.search(text("any"), **asked, disjunctive_facets=is_beside)
        assert again.cache == search_pb2.CACHE_OUTCOME_HIT
        assert _counts(again) == _counts(its)
        with pytest.raises(InvalidArgument) as refused:
            await shop.search(
                text("any"), **asked, disjunctive_facets=not is_beside, page_token=its.next_page_token
            )
        assert refused.value.field == "page_token"
    page = await shop.search(text("any"), **asked, disjunctive_facets=True, page_token=beside.next_page_token)
    assert len(page.hits) == 5
    assert _counts(page) == _counts(beside)


async def test_pages_follow_one_another_without_repeats(shop: Rig) -> None:
    """Pages together are the whole order, each product once, and the last one has no token."""
    whole = ids(await shop.search(text("shoes"), k=30))
    paged: list[str] = []
    token = ""
    for _ in range(5):
        page = await shop.search(text("shoes"), k=7, page_token=token)
        paged += ids(page)
        token = page.next_page_token
    assert paged == whole
    assert not token


async def test_a_token_of_another_request_is_refused(shop: Rig) -> None:
    """A page token goes with the request that it came from, whatever its staleness."""
    token = (await shop.search(text("shoes"), k=7)).next_page_token
    assert (await shop.search(text("shoes"), k=7, page_token=token, max_staleness=NO_CACHE)).hits
    for wrong in (
        {"k": 8, "page_token": token},
        {"k": 7, "page_token": token, "profile": "clip"},
        {"k": 7, "page_token": token[:-2]},
        {"k": 7, "page_token": "!"},
    ):
        with pytest.raises(InvalidArgument) as refused:
            await shop.search(text("shoes"), **wrong)
        assert refused.value.field == "page_token"


async def test_bad_input_that_others_find_names_its_field(shop: Rig) -> None:
    """What the embedder or the shards find wrong is refused with the path in the caller's request."""
    for part, fields, field in (
        (image(b"bad picture"), {}, "parts[0].image.content"),
        (text("bad words"), {}, "parts[0].text"),
        (text("a"), {"facets": ["colour", "size"]}, "facets[1]"),
        (text("a"), {"filter": _equals("size", "XL")}, "filter.all_of[0].any_of[0].attribute"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await shop.search(part, **fields)
        assert refused.value.field == field
    with pytest.raises(InvalidArgument, match="cancel"):
        await shop.search(text("a"), text("a", weight=-1))


async def test_what_is_not_there_is_not_found(shop: Rig) -> None:
    """An unknown catalogue and an unknown product of the query are NOT_FOUND."""
    with pytest.raises(NotFound):
        await shop.search(product("p99"))
    with pytest.raises(NotFound):
        await shop.gateway.search.search(search_pb2.SearchRequest(catalog="catalogs/no", parts=[text("a")]))


async def test_a_query_without_a_space_to_compare_in_is_refused(shop: Rig) -> None:
    """Words have no vector in a picture space, and vectors of another model are not compared."""
    with pytest.raises(FailedPrecondition, match="no vector"):
        await shop.search(text("a"), profile="resnet50")
    vector = encode(vector_of(b"a", "clip"), space="clip", model_digest="other")
    with pytest.raises(FailedPrecondition) as refused:
        await shop.search(search_pb2.QueryPart(vector=vector))
    assert refused.value.reason == "MODEL_MISMATCH"


async def test_an_embedder_with_other_models_is_refused(shop: Rig) -> None:
    """Vectors of other weights than the generation's are never compared with it."""
    shop.embedder.digest = "d2"
    with pytest.raises(FailedPrecondition) as refused:
        await shop.search(text("a"))
    assert refused.value.reason == "MODEL_MISMATCH"


async def test_an_unknown_attribute_is_fine_in_an_empty_catalogue(rig: Rig) -> None:
    """Before the first product nobody can tell which attributes there will be."""
    await rig.create()
    response = await rig.search(text("a"), filter=_equals("colour", "red"), facets=["colour"])
    assert not response.hits


@pytest.mark.parametrize("fault", [Unavailable("away"), VitrineError("broken"), ResourceExhausted("full")])
async def test_without_a_shard_the_others_answer(shop: Rig, fault: VitrineError) -> None:
    """A shard that is away, broken or full is left out and named; refuse_partial refuses that."""
    shop.shards[1].fault.error = fault
    response = await shop.search(text("a"), k=30, facets=["colour", "size"])
    assert 0 < len(response.hits) < 30
    assert (response.shards_ok, response.shards_total, list(response.degraded)) == (1, 2, ["shard:1"])
    with pytest.raises(Unavailable) as refused:
        await shop.search(text("a"), k=30, facets=["colour", "size"], refuse_partial=True)
    assert refused.value.reason == "PARTIAL"
    shop.shards[1].fault.error = None
    assert len((await shop.search(text("a"), k=30)).hits) == 30


async def test_a_slow_shard_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that takes longer than the setting allows is not waited for."""
    ask = ShardCalls.ask

    async def asked(calls: ShardCalls, shard: Replicas, *rest: Any, timeout_s: float, **named: Any) -> Any:
        # The other shard is not to be late because the machine stands still.
        allowed_s = timeout_s if shard.place.shard else 60
        return await ask(calls, shard, *rest, timeout_s=allowed_s, **named)

    monkeypatch.setattr(ShardCalls, "ask", asked)
    async with rigged(tmp_path, shard_timeout_s=0.2) as shop:
        await shop.fill(30)
        shop.shards[1].fault.delay_s = 60
        response = await shop.search(text("a"), k=30)
        assert 0 < len(response.hits) < 30
        assert list(response.degraded) == ["shard:1"]


async def test_without_any_shard_there_is_no_answer(shop: Rig) -> None:
    """No shard at all is UNAVAILABLE."""
    for shard in shop.shards:
        shard.fault.error = Unavailable("away")
    with pytest.raises(Unavailable, match="no shard"):
        await shop.search(text("a"))
    with pytest.raises(Unavailable):
        await shop.search(product("p1"))


async def test_what_a_shard_refuses_is_refused(shop: Rig) -> None:
    """A shard that has vectors of another model does not count as away."""
    shop.shards[0].fault.error = FailedPrecondition("other model", reason="MODEL_MISMATCH")
    with pytest.raises(FailedPrecondition):
        await shop.search(text("a"))


async def test_a_slow_ranker_is_not_waited_for(tmp_path: Path) -> None:
    """A ranker that takes longer than the setting allows leaves the visual order, marked."""
    async with rigged(tmp_path, rank_timeout_s=0.1) as shop:
        await shop.fill(30)
        shop.ranker.fault.delay_s = 60
        response = await shop.search(image(photo(1)), k=30)
        assert len(response.hits) == 30
        assert list(response.degraded) == ["ranker"]


async def test_without_the_ranker_the_order_is_visual(shop: Rig) -> None:
    """A ranker that is away leaves the visual order with its terms, marked, page after page."""
    whole = ids(await shop.search(image(photo(1)), k=30))
    shop.ranker.fault.error = Unavailable("away")
    first = await shop.search(image(photo(1)), k=20, explain=True)
    assert list(first.degraded) == ["ranker"]
    assert ids(first) == whole[:20]
    assert first.hits[0].similarity >= 99
    for hit in first.hits:
        assert sum(term.contribution for term in hit.terms) == pytest.approx(hit.score, abs=1e-6)
    shop.ranker.fault.error = None
    second = await shop.search(image(photo(1)), k=20, explain=True, page_token=first.next_page_token)
    assert ids(second) == whole[20:]
    assert list(second.degraded) == ["ranker"]


async def test_a_ranked_page_is_not_followed_by_a_visual_one(shop: Rig) -> None:
    """Products would repeat, so the next page waits for the ranker to come back."""
    token = (await shop.search(text("a"))).next_page_token
    shop.ranker.fault.error = Unavailable("away")
    with pytest.raises(Unavailable) as refused:
        await shop.search(text("a"), page_token=token)
    assert refused.value.reason == "RANKER_UNAVAILABLE"


async def test_semantics_that_are_missing_are_told(shop: Rig) -> None:
    """What the ranker could not do is a degraded reason."""
    shop.ranker.degraded = ["semantics"]
    assert list((await shop.search(text("a"))).degraded) == ["semantics"]


async def test_without_the_store_hits_have_ids_and_scores(shop: Rig) -> None:
    """A store that is away takes the metadata from an answer and nothing else."""
    whole = await shop.search(text("a"))
    shop.store.is_away = True
    for query in (text("a"), product("p1"), text("b")):
        facets = ["nobody_knows"] if query.text == "b" else []
        response = await shop.search(query, max_staleness=NO_CACHE, facets=facets)
        assert list(response.degraded) == ["metadata"]
        assert len(response.hits) == 10
    assert ids(whole) == ids(await shop.search(text("a"), max_staleness=NO_CACHE))


@pytest.mark.parametrize(("memory_bytes", "is_known"), [(0, False), (1 << 20, True)])
async def test_without_the_store_products_are_as_last_known(
    tmp_path: Path, memory_bytes: int, is_known: bool
) -> None:
    """While the store is away a product that was read before has its title, and any other only its name."""
    async with rigged(tmp_path, product_memory_bytes=memory_bytes) as rig:
        await rig.fill(20)
        assert (await rig.search(text("a"))).hits[0].product.title
        rig.store.is_away = True
        lacking = await rig.search(text("a"), max_staleness=NO_CACHE)
        assert is_known or list(lacking.degraded) == ["metadata"]
        assert bool(lacking.hits[0].product.title) == is_known


async def test_without_the_embedder_cached_queries_are_answered(shop: Rig) -> None:
    """An embedder that is away makes new words UNAVAILABLE with a reason, while known ones are answered."""
    known = await shop.search(text("a"))
    shop.embedder.fault.error = Unavailable("away")
    assert ids(await shop.search(text("a"))) == ids(known)
    # Another page and no cached answer: the vector is known still.
    assert (await shop.search(text("a"), page_token=known.next_page_token, max_staleness=NO_CACHE)).hits
    with pytest.raises(Unavailable) as refused:
        await shop.search(text("new"))
    assert refused.value.reason == "EMBEDDER_UNAVAILABLE"


async def test_an_embedder_that_is_full_says_so(shop: Rig) -> None:
    """Overload is passed on as it is, with its time to come back."""
    shop.embedder.fault.error = ResourceExhausted("full", retry_after_s=3)
    with pytest.raises(ResourceExhausted) as refused:
        await shop.search(text("a"))
    assert refused.value.retry_after_s == 3


async def test_a_deadline_is_a_deadline(shop: Rig) -> None:
    """When the caller's time runs out it is DEADLINE_EXCEEDED, not a service that is away."""
    # From here on the catalogue is known without the store.
    await shop.search(text("b"))
    shop.embedder.fault.delay_s = 60
    with pytest.raises(DeadlineExceeded), deadline.within(0.1):
        await shop.search(text("a"))


async def test_an_answer_is_cached_for_as_long_as_the_caller_allows(shop: Rig) -> None:
    """Equal requests are answered from the cache; a caller who wants none bypasses it."""
    assert (await shop.search(text("a"))).cache == search_pb2.CACHE_OUTCOME_MISS
    hit = await shop.search(text("a"), max_staleness=CACHE)
    assert hit.cache == search_pb2.CACHE_OUTCOME_HIT
    assert hit.hits[0].product.title
    assert (await shop.search(text("a"), max_staleness=NO_CACHE)).cache == search_pb2.CACHE_OUTCOME_BYPASS
    await asyncio.sleep(0.02)
    old = await shop.search(text("a"), max_staleness=Duration(nanos=10_000_000))
    assert old.cache == search_pb2.CACHE_OUTCOME_MISS
    assert (await shop.search(text("a"), k=3)).cache == search_pb2.CACHE_OUTCOME_MISS


async def test_degraded_answers_are_not_cached(shop: Rig) -> None:
    """What was missing once is there again as soon as it can be."""
    shop.shards[0].fault.error = Unavailable("away")
    await shop.search(text("a"))
    shop.shards[0].fault.error = None
    assert (await shop.search(text("a"))).cache == search_pb2.CACHE_OUTCOME_MISS


async def test_min_revision_sees_the_write(shop: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer from before the revision comes neither from the cache nor from a shard that lags."""
    before = await shop.search(text("a"), k=100)
    request_revision = (await shop.upsert(item("new", photos=[photo(99)]))).revision
    assert ids(await shop.search(text("a"), k=100, max_staleness=CACHE)) == ids(before)
    after = await shop.search(text("a"), k=100, min_revision=request_revision)
    assert "new" in ids(after)
    assert after.revision >= request_revision
    with pytest.raises(Unavailable) as refused:
        await shop.search(text("a"), min_revision=request_revision + 1)
    assert refused.value.reason == "REVISION_NOT_REACHED"
    shop.shards[0].fault.delay_s = 60
    monkeypatch.setattr("services.gateway.shards.SHARE_OF_DEADLINE", 0.01)
    with pytest.raises(Unavailable) as refused, deadline.within(60):
        await shop.search(text("a"), min_revision=request_revision, max_staleness=NO_CACHE)
    assert refused.value.reason == "REVISION_NOT_REACHED"


async def test_a_deleted_product_leaves_cached_answers(shop: Rig) -> None:
    """A product that was deleted since is not in an answer, cached or of a shard that lags."""
    first = ids(await shop.search(text("a")))[0]
    await shop.delete(first)
    response = await shop.search(text("a"), max_staleness=CACHE)
    assert response.cache == search_pb2.CACHE_OUTCOME_HIT
    assert first not in ids(response)
    assert len(response.hits) == 9
    assert response.hits[0].product.title


async def test_equal_queries_at_once_run_once(shop: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten callers who ask the same at the same time are one search."""
    may_answer = asyncio.Event()
    monkeypatch.setattr(shop.shards[0].fault, "strike", may_answer.wait)
    shop.embedder.fault.calls = 0
    asking = [asyncio.create_task(shop.search(text("together"))) for _ in range(10)]
    flights = shop.gateway.search._flights._flights
    await until(lambda: sum(flight.waiting for flight in flights.values()) == 10)
    may_answer.set()
    responses = await asyncio.gather(*asking)
    assert shop.embedder.fault.calls == 1
    outcomes = [response.cache for response in responses]
    assert outcomes.count(search_pb2.CACHE_OUTCOME_MISS) == 1
    assert outcomes.count(search_pb2.CACHE_OUTCOME_SHARED) == 9
    assert len({response.query_id for response in responses}) == 10


async def test_a_product_without_photos_is_no_query(rig: Rig) -> None:
    """A product that has no photo cannot be compared."""
    await rig.create()
    await rig.upsert(item("p1"))
    with pytest.raises(NotFound):
        await rig.search(product("p1"))


async def test_a_photo_may_be_given_by_its_address(shop: Rig) -> None:
    """The embedder fetches it; both content and address, or an endless address, name the field."""
    found = await shop.search(search_pb2.QueryPart(image=common_pb2.Image(uri="https://shop.example/1.jpg")))
    assert found.hits
    for wrong in (
        common_pb2.Image(uri="https://shop.example/1.jpg", content=b"picture"),
        common_pb2.Image(uri="https://shop.example/" + "x" * 2048),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await shop.search(search_pb2.QueryPart(image=wrong))
        assert refused.value.field == "parts[0].image.uri"


async def test_a_batch_is_answered_search_by_search(shop: Rig) -> None:
    """Each search of a batch has the answer that it would have alone, or its own error."""
    requests = [
        search_pb2.SearchRequest(parts=[text("a")], k=3),
        search_pb2.SearchRequest(parts=[text("a")], k=0),
        search_pb2.SearchRequest(catalog=CATALOG, parts=[product("p1")], k=2),
        search_pb2.SearchRequest(parts=[product("nobody")]),
    ]
    request = search_pb2.BatchSearchRequest(catalog=CATALOG, requests=requests)
    results = (await shop.gateway.search.batch_search(request)).results
    assert ids(results[0].response) == ids(await shop.search(text("a"), k=3))
    assert (results[1].status.reason, results[1].status.field) == ("INVALID_ARGUMENT", "k")
    assert ids(results[2].response) == ids(await shop.search(product("p1"), k=2))
    assert results[3].status.reason == "NOT_FOUND"
    assert not results[3].HasField("response")


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "requests"),
        ([search_pb2.SearchRequest()] * 33, "requests"),
        ([search_pb2.SearchRequest(catalog="catalogs/other")], "requests[0].catalog"),
    ],
)
async def test_a_batch_has_limits(shop: Rig, requests: list[search_pb2.SearchRequest], field: str) -> None:
    """A batch has 1 to 32 searches, all of its catalogue."""
    with pytest.raises(InvalidArgument) as refused:
        await shop.gateway.search.batch_search(
            search_pb2.BatchSearchRequest(catalog=CATALOG, requests=requests)
        )
    assert refused.value.field == field


async def test_hits_have_the_fields_that_are_wanted(shop: Rig) -> None:
    """With a read mask a hit's product has its name, what the mask names, and nothing else."""
    mask = field_mask_pb2.FieldMask(paths=["title", "attributes.colour"])
    hit = (await shop.search(text("a"), read_mask=mask)).hits[0]
    whole = (await shop.search(text("a"))).hits[0]
    assert hit.product.title == whole.product.title
    assert dict(hit.product.attributes) == {"colour": whole.product.attributes["colour"]}
    assert not hit.product.photos
    with pytest.raises(InvalidArgument) as refused:
        await shop.search(text("a"), read_mask=field_mask_pb2.FieldMask(paths=["colour"]))
    assert refused.value.field == "read_mask"


async def test_what_was_deleted_is_gone_from_cached_answers(shop: Rig) -> None:
    """An answer from the cache has no product that was deleted since, and the others as they are now."""
    first = ids(await shop.search(text("a")))
    hit = await shop.search(text("a"), max_staleness=CACHE)
    assert hit.cache == search_pb2.CACHE_OUTCOME_HIT
    await shop.delete(first[0])
    await shop.upsert(item(first[1], title="renamed"))
    revision = (await shop.get(first[1])).revision
    recent = shop.gateway.search._products._recent
    await until(lambda: recent.is_fresh(revision))
    again = await shop.search(text("a"), max_staleness=CACHE)
    assert again.revision < revision
    assert ids(again) == first[1:]
    assert again.hits[0].product.title == "renamed"
