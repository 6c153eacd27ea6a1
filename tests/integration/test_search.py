from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image

from tests.drawings import draw
from tests.integration.conftest import Shop
from tests.meshes import LiveMesh
from vitrine import Client, GroupBy, Not, Part, Photo, Product, Range
from vitrine.client.queries import Query

pytestmark = pytest.mark.integration


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


def test_a_photo_finds_its_product_first(mesh: LiveMesh, shop: Shop) -> None:
    """Each photo of a catalogue finds its own product first, as the same photo."""
    with mesh.client(shop.catalog) as client:
        for product, path in shop.photos(10):
            results = client.search(image=path, k=5)
            assert (results.hits[0].product.id, results.hits[0].band) == (product, "high")
            assert results.hits[0].similarity >= 99
            assert (results.degraded, results.shards_ok) == ((), results.shards_total)


def test_a_photo_encoded_anew_finds_its_product_first(client: Client) -> None:
    """The same picture as a JPEG is another file, and finds its product first all the same."""
    results = client.search(image=encoded(draw("Handbags", "Green", gender="Men"), "JPEG"), k=3)
    assert (results.hits[0].product.title, results.hits[0].band) == ("Men's green handbags", "high")


@pytest.mark.parametrize("kind", ["Shirts", "Shoes", "Handbags", "Dresses"])
@pytest.mark.parametrize("colour", ["red", "blue"])
def test_words_find_what_they_say(client: Client, colour: str, kind: str) -> None:
    """The first three hits of a colour and a kind are of that kind, the first of that colour too."""
    results = client.search(text=f"{colour} {kind.lower()}", k=10)
    assert [hit.product.attributes["type"] for hit in results.hits[:3]] == [kind] * 3
    assert results.hits[0].product.attributes["colour"] == colour.capitalize()


def test_words_find_shoes_among_real_photos(mesh: LiveMesh, fashion: Shop) -> None:
    """The word for shoes finds things for feet first in a catalogue of photographs."""
    with mesh.client(fashion.catalog) as client:
        hits = client.search(text="shoes", k=3).hits
    assert all(hit.product.attributes["category"] in {"Shoes", "Sandal", "Flip Flops"} for hit in hits)


def test_words_change_what_a_photo_finds(client: Client, drawn: Shop) -> None:
    """A photo of a blue shirt with the words "red shirts" ranks red shirts higher than the photo alone."""
    photo = encoded(draw("Shirts", "Blue"))

    def best_red(**query: str) -> int:
        hits = client.search(image=photo, k=64, **query).hits  # type: ignore[arg-type]  # Only text.
        return min(place for place, hit in enumerate(hits) if "red shirts" in hit.product.title)

    assert best_red(text="red shirts") <= best_red()


def test_a_negative_part_pushes_its_like_away(client: Client) -> None:
    """Less like a photo of shoes: shoes come later."""
    plain = client.search(text="shoes", k=10).hits
    shoes = Part(image=encoded(draw("Shoes", "Red")), weight=-0.8)
    less = client.search(text="shoes", parts=[shoes], k=10).hits
    title = "Women's red shoes"
    assert title in [hit.product.title for hit in plain]
    assert title not in [hit.product.title for hit in less[:3]]


def test_groups_variety_and_a_threshold_hold_over_pages(client: Client) -> None:
    """Two of a type at most and each hit similar enough, in another order, over pages of any size."""
    wanted: Query = {"text": "red shoes", "group_by": GroupBy("type", 2), "min_similarity": 5, "k": 100}
    plain = client.search(**wanted)
    assert plain.hits
    assert all(hit.similarity >= 5 for hit in plain.hits)
    groups = [hit.group for hit in plain.hits]
    assert groups == [hit.product.attributes["type"] for hit in plain.hits]
    assert max(groups.count(group) for group in groups) <= 2
    varied: Query = {**wanted, "diversity": 0.5, "k": 3}
    pages = list(client.pages(**varied))
    assert [page.degraded for page in pages] == [()] * len(pages)
    assert sorted(hit.product.id for page in pages for hit in page.hits) == sorted(
        hit.product.id for hit in plain.hits
    )
    everything = [
        hit
        for page in client.pages(image=encoded(draw("Shoes", "Red")), diversity=0.7, k=9)
        for hit in page.hits
    ]
    assert len({hit.product.id for hit in everything}) == len(everything) == len(list(client.list()))
    assert [hit.score for hit in everything] != sorted((hit.score for hit in everything), reverse=True)


def test_a_product_is_not_its_own_neighbour(mesh: LiveMesh, shop: Shop) -> None:
    """A product as the query is left out of its own answer, and needs no embedder."""
    with mesh.client(shop.catalog) as client:
        for product, _ in shop.photos(5):
            results = client.search(product=product, k=10)
            assert len(results.hits) == 10
            assert product not in [hit.product.id for hit in results.hits]
            assert "embed" not in results.stages


def test_a_filter_is_kept_by_every_hit(client: Client) -> None:
    """Values, ranges and negations hold for all hits, and nothing that passes is missing."""
    wanted: dict[str, Any] = {
        "gender": "Women",
        "colour": ["Red", "Pink"],
        "price": Range(20, 70),
        "type": Not("Dresses"),
    }
    hits = client.search(text="shoes", filter=wanted, k=100).hits
    expected = {
        product.id
        for product in client.list()
        if product.attributes["gender"] == "Women"
        and product.attributes["colour"] in {"Red", "Pink"}
        and 20 <= float(str(product.attributes["price"])) <= 70
        and product.attributes["type"] != "Dresses"
    }
    assert expected
    assert {hit.product.id for hit in hits} == expected


def test_facets_count_what_passes_the_filter(client: Client) -> None:
    """Facets count over both shards, all products that pass."""
    facets = client.search(text="shoes", facets=["colour", "type"], filter={"gender": "Men"}, k=1).facets
    counts = {facet.attribute: dict(facet.counts) for facet in facets}
    assert counts["type"] == {"Shirts": 8, "Shoes": 8, "Handbags": 8, "Dresses": 8}
    assert set(counts["colour"].values()) == {4}


def test_facets_count_beside_what_is_chosen(client: Client) -> None:
    """The numbers of both shards are in one list of ranges; what is chosen of an attribute narrows others."""
    prices = [
        float(str(product.attributes["price"]))
        for product in client.list()
        if product.attributes["gender"] == "Men"
    ]
    gender, price = client.search(
        text="shoes",
        facets=["gender", "price"],
        filter={"gender": "Men", "price": Range(max=0)},
        disjunctive_facets=True,
    ).facets
    assert gender.counts == ()
    assert [each.min for each in price.ranges] == sorted({each.min for each in price.ranges})
    assert sum(each.count for each in price.ranges) == len(prices)
    for each in price.ranges:
        assert each.count == sum(each.min <= its < each.max for its in prices)


@pytest.mark.parametrize("k", [7, 50])
def test_pages_repeat_nothing_and_skip_nothing(mesh: LiveMesh, shop: Shop, k: int) -> None:
    """All pages together are all products once, in descending order."""
    with mesh.client(shop.catalog) as client:
        hits = [hit for page in client.pages(text="shoes", k=k) for hit in page.hits]
        known = {product.id for product in client.list()}
    assert len(hits) == len(known)
    assert {hit.product.id for hit in hits} == known
    assert all(first.score >= second.score for first, second in pairwise(hits))
    assert all(first.similarity >= second.similarity for first, second in pairwise(hits))


@pytest.mark.parametrize("profile", ["similar", "resnet50", "clip", "triplet"])
def test_terms_add_up_to_the_score(client: Client, profile: str) -> None:
    """Whatever the profile, a hit's terms are its score."""
    for hit in client.search(image=encoded(draw("Shoes", "Pink")), profile=profile, explain=True, k=20).hits:
        assert sum(term.contribution for term in hit.terms) == pytest.approx(hit.score, abs=2e-6)
        for term in hit.terms:
            assert term.contribution == pytest.approx(term.value * term.weight, abs=1e-6)


def test_a_write_is_seen_by_a_search_that_asks_for_it(client: Client) -> None:
    """A product is found at the revision of its write, and gone at that of its deletion."""
    photo = encoded(draw("Shoes", "Brown", seed=99))
    fresh = Product(id="fresh", title="Fresh shoes", attributes={"type": "Shoes"}, photos=[Photo(photo)])
    report = client.upsert([fresh])
    assert report.outcomes[0].error is None
    first = client.search(image=photo, k=1, min_revision=report.revision).hits[0]
    assert (first.product.id, first.similarity >= 99) == ("fresh", True)
    revision = client.delete("fresh")
    found = client.search(image=photo, k=100, min_revision=revision, max_staleness_s=0).hits
    assert "fresh" not in [hit.product.id for hit in found]


def test_an_equal_search_comes_from_the_cache(client: Client) -> None:
    """The same search a moment later is a hit of the cache with the same answer."""
    first, second = (
        client.search(text="a quite unusual search for cached shoes", k=5, max_staleness_s=60)
        for _ in range(2)
    )
    assert (first.cache, second.cache) == ("miss", "hit")
    assert [hit.product.id for hit in first.hits] == [hit.product.id for hit in second.hits]


def test_rows_of_a_product_are_its_photos(client: Client, drawn: Shop) -> None:
    """A product with two photos is one hit by either of them, which names the photo that matched."""
    with (drawn.folder / "products.csv").open(encoding="utf-8", newline="") as file:
        images = [row["image"] for row in csv.DictReader(file) if row["id"] == "1000"]
    assert len(images) == 2
    matched = set()
    for image in images:
        hits = client.search(image=drawn.folder / "images" / image, k=10).hits
        assert [hit.product.id for hit in hits].count("1000") == 1
        assert hits[0].product.id == "1000"
        matched.add(hits[0].photo_id)
    assert len(matched) == 2
