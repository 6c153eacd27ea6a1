from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from services.mesh.errors import InvalidArgument, PermissionDenied
from tests.vitrine.fake_gateway import FakeGateway
from vitrine import Client, Photo, Product
from vitrine.cli import output, search
from vitrine.cli.main import app
from vitrine.client.results import results_of
from vitrine.v1 import catalog_pb2, common_pb2, search_pb2


@pytest.fixture
def shop(gateway: FakeGateway) -> FakeGateway:
    """A gateway with one catalogue of three products."""
    with Client(gateway.address, catalog="shop") as client:
        client.create_catalog()
        client.upsert(
            [
                Product(
                    f"a{i}", f"Red [shoe] {i}", "", {"gender": "Women", "price": 9.5}, [Photo(content=b"x")]
                )
                for i in range(3)
            ]
        )
    return gateway


def _search(gateway: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["search", *arguments, "--server", gateway.address])


def test_json_has_every_hit_with_its_terms(shop: FakeGateway) -> None:
    """The JSON says what was found, how similar, why, and how to go on."""
    result = _search(shop, "--text", "red shoes", "--k", "2", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    hit = answer["hits"][0]
    assert (hit["product"], hit["title"], hit["score"], hit["similarity"]) == (
        "a0",
        "Red [shoe] 0",
        0.5,
        81.0,
    )
    assert hit["band"] == "high"
    assert hit["terms"][0]["name"] == "visual.clip"
    assert answer["next_page_token"] == "2"
    assert answer["degraded"] == ["ranker"]
    assert answer["took_ms"] > 0
    again = _search(shop, "--text", "red shoes", "--k", "2", "--json", "--page-token", "2")
    assert [hit["product"] for hit in json.loads(again.stdout)["hits"]] == ["a2"]


def test_people_see_a_table(shop: FakeGateway) -> None:
    """Title, similarity and band are shown as they are, brackets included, and what the answer lacks."""
    result = _search(shop, "red", "shoes", "--explain")
    assert result.exit_code == 0
    for words in ("a0", "Red [shoe] 0", "81 high", "Women, 9.5", "visual.clip +0.500"):
        assert words in result.stdout
    assert "ranker" in result.stderr
    assert shop.searches[-1].parts[0].text == "red shoes"


def test_an_argument_that_is_a_file_is_a_picture(shop: FakeGateway, tmp_path: Path) -> None:
    """A path searches by picture, anything else by words; both can be given at once."""
    picture = tmp_path / "shoe.jpg"
    picture.write_bytes(b"jpeg")
    _search(shop, str(picture))
    assert shop.searches[-1].parts[0].image.content == b"jpeg"
    _search(shop, "--image", str(picture), "--text", "in red", "--product", "a1")
    assert [part.WhichOneof("source") for part in shop.searches[-1].parts] == ["text", "image", "product"]


def test_pictures_and_words_are_told_apart(shop: FakeGateway, tmp_path: Path) -> None:
    """Files and addresses are parts of their own, all other arguments together are the words."""
    picture, address = tmp_path / "shoe.jpg", "https://shop.example/boot.png"
    picture.write_bytes(b"jpeg")
    _search(shop, "red", str(picture), "leather", address, "--product", "a1")
    words, file, uri, product = shop.searches[-1].parts
    assert (words.text, product.product) == ("red leather", "a1")
    assert (file.image.content, uri.image.uri) == (b"jpeg", address)
    _search(shop, "--image", address)
    assert shop.searches[-1].parts[0].image.uri == address


def test_only_some_fields_are_shown(shop: FakeGateway) -> None:
    """`--fields` is the read mask."""
    answer = json.loads(_search(shop, "red", "--fields", "title, photos", "--json").stdout)
    assert shop.searches[-1].read_mask.paths == ["title", "photos"]
    assert answer["hits"][0]["title"] == "Red [shoe] 0"


def test_a_picture_that_is_not_there_is_no_word(shop: FakeGateway) -> None:
    """A mistyped path is refused; the same as words is still possible."""
    assert _search(shop, "nowhere/shoe.JPG").exit_code == 2
    assert not shop.searches
    _search(shop, "--text", "shoe.jpg")
    assert shop.searches[-1].parts[0].text == "shoe.jpg"


def test_filters_and_profile_reach_the_gateway(shop: FakeGateway) -> None:
    """Repeated filters are one filter, and the profile is asked for by name."""
    _search(shop, "shoe", "-f", "gender=Women", "-f", "price=..10", "--profile", "clip")
    request = shop.searches[-1]
    assert [clause.any_of[0].attribute for clause in request.filter.all_of] == ["gender", "price"]
    assert request.profile == "clip"


def test_what_is_asked_of_the_order_reaches_the_gateway(shop: FakeGateway) -> None:
    """Groups, diversity and a threshold are options; the JSON says what held."""
    options = ("--group-by", "Colour=3", "--diversity", "0.25", "--min-similarity", "40")
    answer = json.loads(_search(shop, "shoe", *options, "--json").stdout)
    request = shop.searches[-1]
    assert (request.group_by.attribute, request.group_by.size) == ("colour", 3)
    assert (request.diversity, request.min_similarity) == (0.25, 40)
    assert (answer["group_by"], answer["diversity"]) == ({"attribute": "colour", "size": 3}, 0.25)
    assert answer["hits"][0]["group"] == "Red"
    plain = json.loads(_search(shop, "shoe", "--group-by", "brand", "--json").stdout)
    assert plain["group_by"] == {"attribute": "brand", "size": 1}
    plain = json.loads(_search(shop, "shoe", "--json").stdout)
    assert (plain["group_by"], plain["diversity"], plain["hits"][0]["group"]) == (None, 0, None)
    result = _search(shop, "shoe", "--group-by", "brand=many")
    assert result.exit_code == 2
    assert "'brand=many' is not attribute or attribute=hits" in result.stderr


def test_the_query_is_given_once(shop: FakeGateway) -> None:
    """Words as an argument and as an option contradict each other."""
    assert _search(shop, "red", "--text", "blue").exit_code == 2


def test_the_catalogue_is_default_or_the_only_one(shop: FakeGateway) -> None:
    """Without --catalog a single one is meant, or `default`; among several others none is guessed."""
    _search(shop, "shoe")
    assert shop.searches[-1].catalog == "catalogs/shop"
    shop.catalogs["other"] = {}
    result = _search(shop, "shoe")
    assert result.exit_code == 2
    assert "other, shop" in result.stderr
    _search(shop, "shoe", "--catalog", "other")
    assert shop.searches[-1].catalog == "catalogs/other"
    shop.catalogs["default"] = {}
    _search(shop, "shoe")
    assert shop.searches[-1].catalog == "catalogs/default"


def test_a_key_for_some_catalogues_has_to_name_one(shop: FakeGateway) -> None:
    """It may not see which there are, and the way out is told."""
    shop.failures.append(PermissionDenied("is about all catalogues"))
    result = _search(shop, "shoe")
    assert result.exit_code == 2
    assert "--catalog: name one" in result.stderr


def test_without_any_catalogue_the_way_to_one_is_told(gateway: FakeGateway) -> None:
    """An empty mesh says how to fill it."""
    result = _search(gateway, "shoe")
    assert result.exit_code == 2
    assert "vitrine index" in result.stderr


@pytest.mark.parametrize("path", ["/nope/photo", "./photo", "../a/photo.png"])
def test_what_looks_like_a_path_is_no_word(shop: FakeGateway, path: str) -> None:
    """A path to nothing is a usage error that says how to search for the words."""
    result = _search(shop, path)
    assert result.exit_code == 2
    assert f"there is no file '{path}'; for words use --text" in result.stderr
    assert _search(shop, "black/white").exit_code == 0


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("filter.all_of[1].any_of[0].attribute", "error: --filter Fit=Slim: no such thing"),
        ("parts[1].image.image", "shoe.jpg: no such thing"),
        ("parts[0].text", "error: --text: no such thing"),
        ("k", "error: --k: no such thing"),
        ("group_by.size", "error: --group-by: no such thing"),
        ("min_similarity", "error: --min-similarity: no such thing"),
        ("page_token", "error: --page-token: no such thing"),
        ("read_mask", "error: --fields: no such thing"),
        ("profile", "error: --profile: no such thing"),
    ],
)
def test_what_is_refused_is_told_as_it_was_typed(
    shop: FakeGateway, tmp_path: Path, field: str, said: str
) -> None:
    """People see options and files, not paths in a request."""
    picture = tmp_path / "shoe.jpg"
    picture.write_bytes(b"jpeg")
    shop.failures.extend([InvalidArgument(field, "no such thing")])
    filters = ("-f", "gender=Women", "-f", "Fit=Slim")
    result = _search(shop, "--catalog", "shop", "--text", "red", "--image", str(picture), *filters)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "parts[" not in result.stderr


def test_a_filter_that_finds_nothing_tells_the_values(gateway: FakeGateway) -> None:
    """Which values there are is told to people, once an attribute; a program is not asked to read it."""
    gateway.catalogs["shop"] = {}
    filters = ("-f", "colour=Rde", "-f", "price=1..2")
    result = _search(gateway, "shoe", *filters)
    assert "Nothing found." in result.stdout
    assert "colour is one of: Red (0)" in result.stderr
    assert "price is one of" not in result.stderr
    counted = gateway.searches[-1]
    assert (list(counted.facets), counted.HasField("filter")) == (["colour"], False)
    assert "is one of" not in _search(gateway, "shoe", *filters, "--json").output
    assert "is one of" not in _search(gateway, "shoe").output


def test_explanations_are_read_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No term is broken in two, the score is told as their sum, and what was understood goes before."""
    names = ["semantic.category", "semantic.gender", "semantic.colour", "visual.resnet50", "visual.clip"]
    title = "A rather long title of a shoe, such as shops like to write them for their pages"
    response = search_pb2.SearchResponse(
        hits=[
            search_pb2.Hit(
                product=catalog_pb2.Product(name="catalogs/shop/products/sku-000001", title=title),
                score=0.5,
                terms=[
                    common_pb2.ScoreTerm(name=name, contribution=0.1, absent=name == "semantic.gender")
                    for name in names
                ],
            )
        ],
        query_labels=[common_pb2.Label(name="category", value="footwear", probability=0.97)],
    )
    written = StringIO()
    monkeypatch.setattr(output, "out", lambda: Console(file=written, width=80))
    search._print(results_of(response, 1.0), explain=True)
    shown = written.getvalue()
    assert shown.startswith("understood: category footwear (0.97)")
    assert "score 0.500 =" in shown
    assert all(f"{name} +0.100" in shown for name in names)
    assert "semantic.gender +0.100 (absent)" in shown
