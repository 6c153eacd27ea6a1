from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from services.mesh.errors import InvalidArgument
from services.trainer import catalogues
from services.trainer.catalogues import Photo


def written(folder: Path, table: str) -> Path:
    folder.mkdir()
    (folder / "products.csv").write_text(table, encoding="utf-8")
    return folder


def test_every_shops_columns_are_understood(tmp_path: Path) -> None:
    """Labels and group are found under the names that different shops give them."""
    one = catalogues.read(
        written(
            tmp_path / "one",
            "id,image,title,gender,masterCategory,subCategory,articleType,baseColour\n"
            "7,7.jpg,Puma Men Red Shoes,Men,Footwear,Shoes,Sports Shoes,Red\n",
        )
    )[0]
    two = catalogues.read(
        written(
            tmp_path / "two",
            "id,image,group_id,title,category,colour\n7_a,7a.jpg,7,Gobi&reg; Tee,Men/Tops/Tees,\n",
        )
    )[0]
    assert (one.type, one.category, one.master, one.colour) == ("Sports Shoes", "Shoes", "Footwear", "Red")
    assert (one.product, one.group, one.name) == ("7", "7", "one/7.jpg")
    assert (two.type, two.category, two.master, two.colour) == ("Tees", "Men/Tops/Tees", "", "")
    assert (two.product, two.group) == ("7_a", "7")
    assert two.title == "Gobi® Tee"
    assert two.path == tmp_path / "two" / "images" / "7a.jpg"


def test_photos_of_one_sender_are_one_group(tmp_path: Path) -> None:
    """Where people sent photos of their clothes, the sender is the group."""
    table = "id,image,category,sender_id\na,a.jpg,shirt,5\nb,b.jpg,hat,5\n"
    assert [photo.group for photo in catalogues.read(written(tmp_path / "phones", table))] == ["5", "5"]


def test_photos_are_read_from_a_zip(tmp_path: Path) -> None:
    """A folder with one zip is a catalogue as it is, and nothing is unpacked."""
    folder = tmp_path / "small"
    folder.mkdir()
    with zipfile.ZipFile(folder / "small.zip", "w") as archive:
        archive.writestr("products.csv", "id,image,gender\n1,1.jpg,Men\n")
        archive.writestr("images/1.jpg", b"bytes of a photo")
    (photo,) = catalogues.read(folder)
    assert (photo.name, photo.read(), photo.size_bytes) == ("small/1.jpg", b"bytes of a photo", 16)
    assert [path.name for path in folder.iterdir()] == ["small.zip"]


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    """What is no catalogue is the caller's mistake."""
    with pytest.raises(InvalidArgument, match="neither products"):
        catalogues.read(tmp_path)


def test_labels_are_made_of_any_columns(photos: list[Photo]) -> None:
    """Several columns make one label; a photo that lacks one of them has none."""
    assert photos[0].label(["category", "type"]) == "shirts/shirts"
    assert photos[0].label(["gender", "master"]) == "women/apparel"
    assert replace(photos[0], gender="").label(["gender", "type"]) == ""


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
    ("type_", "words"),
    [
        ("Dresses", {"dress", "dresses"}),
        ("Watches", {"watch", "watches"}),
        ("Dress", {"dress", "dresses"}),
        ("Skirts", {"skirt", "skirts"}),
        ("Jeans", {"jeans", "denim", "denims"}),
    ],
)
def test_number_is_formed_as_in_english(tmp_path: Path, type_: str, words: set[str]) -> None:
    """Singular and plural of a shop's word are both captions."""
    (photo,) = catalogues.read(written(tmp_path / "shop", f"id,image,articleType\n1,1.jpg,{type_}\n"))
    assert set(photo.captions) == words
