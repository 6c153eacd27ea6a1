"""What a search may ask of the order, with the real ranker behind the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from services.gateway.candidates import visual_scores
from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.vectors import decode
from services.ranker.semantics import Library
from services.ranker.server import RankerServicer
from tests.gateway.fakes import DIMENSIONS, photo, vector_of
from tests.gateway.rigs import Rig, ids, image, item, product, rigged, text
from vitrine.v1 import search_pb2, vectorsearch_pb2

NO_CACHE = Duration(seconds=0)
CACHE = Duration(seconds=600)


@pytest.fixture
async def ranked_shop(tmp_path: Path) -> AsyncIterator[Rig]:
    """36 products; of every four the first two have the same photo. Every fifth has no brand."""
    async with rigged(tmp_path, real_ranker=RankerServicer(Library(tmp_path / "models"))) as shop:
        await shop.create()
        products = [
            item(
                f"p{n}",
                photos=[photo(n - 1 if n % 4 == 1 else n)],
                title="a red shoe" if n % 3 else "a bag",
            )
            for n in range(36)
        ]
        for n, each in enumerate(products):
            if n % 5:
                each.product.attributes["brand"].values.add(text=f"b{n % 7}")
        await shop.upsert(*products)
        yield shop


def _group(attribute: str, size: int) -> vectorsearch_pb2.GroupBy:
    return vectorsearch_pb2.GroupBy(attribute=attribute, size=size)


async def _pages(
    shop: Rig, *parts: search_pb2.QueryPart, k: int = 5, **fields: Any
) -> list[search_pb2.SearchResponse]:
    pages = [await shop.search(*parts, k=k, **fields)]
    while pages[-1].next_page_token:
        pages.append(await shop.search(*parts, k=k, page_token=pages[-1].next_page_token, **fields))
    return pages


def _ids(pages: list[search_pb2.SearchResponse]) -> list[str]:
    return [product_id for page in pages for product_id in ids(page)]


def _brand(product_id: str) -> str | None:
    number = int(product_id[1:])
    return f"b{number % 7}" if number % 5 else None


def _capped(order: list[str], size: int) -> list[str]:
    seen: dict[str | None, int] = {None: -1000}
    kept = []
    for product_id in order:
        brand = _brand(product_id)
        seen[brand] = seen.get(brand, 0) + 1
        if seen[brand] <= size:
            kept.append(product_id)
    return kept


@pytest.mark.parametrize("size", [1, 2])
async def test_a_cap_holds_over_all_pages(ranked_shop: Rig, size: int) -> None:
    """The best so many of each brand by final score come, however the pages are cut, and say their brand."""
    whole = ids(await ranked_shop.search(text("red shoe"), k=100))
    assert len(whole) == 36
    pages = await _pages(ranked_shop, text("red shoe"), group_by=_group("brand", size))
    assert _ids(pages) == _capped(whole, size)
    for page in pages:
        assert page.group_by == _group("brand", size)
        for hit in page.hits:
            brand = _brand(hit.product.name.rpartition("/")[2])
            assert (hit.group_value if hit.HasField("group_value") else None) == brand
    asked = ranked_shop.shards[0].requests[-1]
    assert asked.group_by == _group("brand", 10 * size)
    plain = await ranked_shop.search(text("red shoe"))
    assert not plain.HasField("group_by")
    assert not any(hit.HasField("group_value") for hit in plain.hits)


async def test_a_group_of_a_label_that_ranking_knows(ranked_shop: Rig) -> None:
    """The column is asked for once; groups of an attribute that nobody has are refused by name."""
    response = await ranked_shop.search(image(photo(3)), k=36, group_by=_group("colour", 3))
    assert len(response.hits) == 6
    names = list(ranked_shop.shards[0].requests[-1].label_names)
    assert names.count("colour") == 1
    for attribute in ("size", "inferred.fabric"):
        with pytest.raises(InvalidArgument) as refused:
            await ranked_shop.search(image(photo(3)), group_by=_group(attribute, 3))
        assert refused.value.field == "group_by.attribute"


def _naive_variety(order: list[str], shares: dict[str, float], diversity: float) -> list[str]:
    """Maximal Marginal Relevance, pair by pair."""

    def looks(product_id: str) -> Any:
        number = int(product_id[1:])
        content = photo(number - 1 if number % 4 == 1 else number)
        vector = vector_of(content, "clip").astype(np.float16).astype(np.float64)
        return vector / np.linalg.norm(vector)

    alike = {(one, other): float(looks(one) @ looks(other)) for one in order for other in order}
    chosen, left = [order[0]], order[1:]
    while left:
        worth = {
            each: (1 - diversity) * shares[each] - diversity * max(alike[each, other] for other in chosen)
            for each in left
        }
        chosen.append(max(left, key=lambda each: (round(worth[each], 5), -left.index(each))))
        left.remove(chosen[-1])
    return chosen


async def test_diversity_is_of_what_hits_look_like(ranked_shop: Rig) -> None:
    """Products that share a photo come apart, pages have every hit once, and scores stay what they were."""
    query = text("shoe")
    plain = await ranked_shop.search(query, k=100, profile="clip", explain=True)
    first, twin = next(pair for pair in pairwise(ids(plain)) if int(pair[0][1:]) % 4 == 0)
    assert int(twin[1:]) == int(first[1:]) + 1
    assert plain.diversity == 0
    assert not ranked_shop.shards[0].requests[-1].vector_space
    pages = await _pages(ranked_shop, query, profile="clip", diversity=0.5, explain=True)
    shown = _ids(pages)
    scores = {hit.product.name.rpartition("/")[2]: hit.score for hit in plain.hits}
    assert shown == _naive_variety(ids(plain), scores, 0.5)
    assert sorted(shown) == sorted(ids(plain))
    assert shown[0] == ids(plain)[0]
    assert shown.index(twin) - shown.index(first) > 5
    for page in pages:
        assert page.diversity == 0.5
        assert not page.degraded
        for hit in page.hits:
            assert hit.score == scores[hit.product.name.rpartition("/")[2]]
            assert sum(term.contribution for term in hit.terms) == pytest.approx(hit.score, abs=1e-6)
    asked = ranked_shop.shards[0].requests[-1]
    assert (asked.vector_space, asked.vectors_limit) == ("clip", 200)


async def test_a_varied_page_is_cached_by_its_place(ranked_shop: Rig) -> None:
    """Pages of one request are told apart, and other diversity is another request."""
    query = image(photo(0))
    varied: dict[str, Any] = {"profile": "clip", "diversity": 0.5, "max_staleness": CACHE}
    first = await ranked_shop.search(query, **varied)
    second = await ranked_shop.search(query, **varied, page_token=first.next_page_token)
    again = await ranked_shop.search(query, **varied, page_token=first.next_page_token)
    assert second.cache == search_pb2.CACHE_OUTCOME_MISS
    assert again.cache == search_pb2.CACHE_OUTCOME_HIT
    assert ids(again) == ids(second)
    with pytest.raises(InvalidArgument) as refused:
        await ranked_shop.search(query, profile="clip", diversity=0.4, page_token=first.next_page_token)
    assert refused.value.field == "page_token"


async def test_a_threshold_ends_the_pages(ranked_shop: Rig) -> None:
    """Hits below it are left out, exactly; the last page that has any has no token."""
    query = image(photo(0))
    whole = (await ranked_shop.search(query, k=100, profile="clip")).hits
    least = whole[11].similarity
    expected = [hit.product.name for hit in whole if hit.similarity >= least]
    assert 12 <= len(expected) < 36
    pages = await _pages(ranked_shop, query, profile="clip", min_similarity=least)
    assert [hit.product.name for page in pages for hit in page.hits] == expected
    varied = await _pages(ranked_shop, query, profile="clip", min_similarity=least, diversity=0.9)
    shown = [hit.product.name for page in varied for hit in page.hits]
    assert sorted(shown) == sorted(expected)
    assert shown != expected
    assert all(len(page.hits) == 5 for page in varied[:-1])
    none = await ranked_shop.search(text("red shoe"), profile="clip", min_similarity=100)
    assert not none.hits
    assert not none.next_page_token


async def test_cap_threshold_and_variety_go_together(ranked_shop: Rig) -> None:
    """The variety is among those that the threshold and the cap have left, and all of them come."""
    query = image(photo(0))
    fields: dict[str, Any] = {"profile": "clip", "group_by": _group("brand", 2), "min_similarity": 5}
    plain = _ids(await _pages(ranked_shop, query, **fields))
    varied = _ids(await _pages(ranked_shop, query, **fields, diversity=0.8))
    assert len(plain) > 10
    assert sorted(varied) == sorted(plain)
    assert varied != plain


async def test_without_the_ranker_cap_and_threshold_hold(shop: Rig) -> None:
    """The visual order stands in, without variety; both the cap and the threshold hold over its pages."""
    shop.ranker.fault.error = Unavailable("away")
    query = image(photo(1))
    whole = (await shop.search(query, k=100)).hits
    least = whole[14].similarity
    similar = [hit.product.name for hit in whole if hit.similarity >= least]
    assert 15 <= len(similar) < 30
    pages = await _pages(shop, query, k=4, min_similarity=least, diversity=0.5)
    assert [hit.product.name for page in pages for hit in page.hits] == similar
    assert all(page.diversity == 0 and list(page.degraded) == ["ranker"] for page in pages)
    grouped = await _pages(shop, query, k=4, group_by=_group("colour", 3))
    seen: dict[str, int] = {}
    expected = []
    for hit in whole:
        colour = hit.product.attributes["colour"].values[0].text
        seen[colour] = seen.get(colour, 0) + 1
        if seen[colour] <= 3:
            expected.append(hit.product.name)
    assert [hit.product.name for page in grouped for hit in page.hits] == expected
    assert all(hit.group_value in {"red", "blue"} for page in grouped for hit in page.hits)


async def test_liked_and_disliked_products_are_averaged(shop: Rig) -> None:
    """Hits are nearest to the liked less the disliked; neither come back, and no dislike is wanted."""
    await shop.upsert(item("p0", title="p0", colour="green", gender="Men"))
    parts = (product("p1"), product("p3"), product("p0", weight=-1))
    response = await shop.search(*parts, k=100, profile="clip")
    by_id = {f"p{n}": vector_of(photo(n), "clip") for n in range(30)}
    mean = by_id["p1"] + by_id["p3"] - by_id["p0"]
    mean /= np.linalg.norm(mean)
    expected = sorted(set(by_id) - {"p0", "p1", "p3"}, key=lambda each: -float(by_id[each] @ mean))
    assert ids(response) == expected
    asked = shop.ranker.requests[-1].query
    assert [(label.name, label.value) for label in asked.labels] == [("colour", "red")]
    assert not asked.text
    liked = by_id["p1"] + by_id["p3"]
    np.testing.assert_allclose(decode(asked.clip_vector, field="v"), liked / np.linalg.norm(liked), atol=1e-6)


async def test_words_that_are_not_wanted_are_not_words_to_match(shop: Rig) -> None:
    """A negative text moves the vector and is no text of the query; a negative photo infers nothing."""
    await shop.search(text("shoe"), text("red", weight=-0.5), image(photo(2), weight=-0.5))
    asked = shop.ranker.requests[-1].query
    assert asked.text == "shoe"
    assert not asked.photo_vectors
    assert not asked.HasField("clip_vector")


async def test_the_ranker_gets_the_photo_in_every_space(shop: Rig) -> None:
    """Wanted pictures and products are mixed in each space that they have vectors in; words are not."""
    await shop.search(image(photo(1)), product("p2"), text("red"), image(photo(4), weight=-0.5))
    asked = shop.ranker.requests[-1].query
    found = {vector.space: decode(vector, field="v") for vector in asked.photo_vectors}
    assert set(found) == set(DIMENSIONS)
    for space, vector in found.items():
        mean = vector_of(photo(1), space) + vector_of(photo(2), space)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert asked.clip_vector in asked.photo_vectors
    await shop.search(image(photo(1)), profile="triplet", max_staleness=NO_CACHE)
    assert [vector.space for vector in shop.ranker.requests[-1].query.photo_vectors] == ["triplet"]


async def test_the_first_candidates_come_with_vectors(shop: Rig) -> None:
    """What the ranker gets are the vectors of the best looking of all shards, in their order."""
    await shop.search(image(photo(1)), diversity=0.3)
    sent = shop.ranker.requests[-1].candidates
    assert np.all(np.diff(visual_scores(sent)) <= 1e-6)
    rows = np.frombuffer(sent.vectors.rows, "<f2").reshape(-1, sent.vectors.dimension)
    expected = [vector_of(photo(int(product_id[1:])), "clip") for product_id in sent.product_ids]
    np.testing.assert_allclose(rows.astype(np.float32), expected, atol=1e-3)
