from __future__ import annotations

from pathlib import Path

import pytest

from services.trainer import catalogues


def written(folder: Path, table: str) -> Path:
    folder.mkdir()
    (folder / "products.csv").write_text(table, encoding="utf-8")
    return folder


def test_every_shops_columns_are_understood(tmp_path: Path) -> None:
    """Kind, colour and group are found under the names that different shops give them."""
    one = catalogues.read(
        written(
            tmp_path / "one",
            "id,image,title,gender,subCategory,articleType,baseColour\n"
            "7,7.jpg,Puma Men Red Shoes,Men,Shoes,Sports Shoes,Red\n",
        )
    )[0]
    two = catalogues.read(
        written(
            tmp_path / "two",
            "id,image,group_id,title,category,colour\n7_a,7a.jpg,7,Gobi&reg; Tee,Men/Tops/Tees,\n",
        )
    )[0]
    assert (one.kind, one.category, one.colour, one.group) == ("Sports Shoes", "Shoes", "Red", "one/7")
    assert (two.kind, two.category, two.colour, two.group) == ("Tees", "Tees", "", "two/7")
    assert two.title == "Gobi® Tee"
    assert two.path == tmp_path / "two" / "images" / "7a.jpg"


def test_captions_are_what_people_type(tmp_path: Path) -> None:
    """The title comes first; kinds come in singular and plural, with colour and gender."""
    (photo,) = catalogues.read(
        written(
            tmp_path / "shop",
            "id,image,title,gender,articleType,baseColour\n1,1.jpg,Nike Shoes,Women,Casual Shoes,Red\n",
        )
    )
    assert photo.captions[0] == "Nike Shoes"
    assert {"red shoes", "sneakers", "women's red shoes", "red shoes for women"} <= set(photo.captions)
    assert photo.short_query == "red casual shoe"
    assert photo.short_query in photo.captions


def test_a_photo_may_have_nothing_to_say(tmp_path: Path) -> None:
    """A row with an image alone has no captions."""
    (photo,) = catalogues.read(written(tmp_path / "shop", "id,image\n1,1.jpg\n"))
    assert photo.captions == ()
    assert photo.short_query == ""


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Dresses", {"dress", "dresses"}),
        ("Watches", {"watch", "watches"}),
        ("Dress", {"dress", "dresses"}),
        ("Skirts", {"skirt", "skirts"}),
        ("Jeans", {"jeans", "denim", "denims"}),
    ],
)
def test_number_is_formed_as_in_english(tmp_path: Path, kind: str, words: set[str]) -> None:
    """Singular and plural of a shop's word are both captions."""
    (photo,) = catalogues.read(written(tmp_path / "shop", f"id,image,articleType\n1,1.jpg,{kind}\n"))
    assert set(photo.captions) == words
