from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker import taxonomy
from services.ranker.taxonomy import (
    COLOURS,
    FAMILIES,
    GENDERS,
    colour_agreement,
    contradicts,
    family_of,
    gender_agreement,
    gender_of,
    shades_of,
)


@pytest.mark.parametrize(
    ("value", "family"),
    [
        ("Casual Shoes", "footwear"),
        ("Flip Flops", "footwear"),
        ("Shoe Accessories", "footwear"),
        ("Heeled sandals", "footwear"),
        ("Topwear", "topwear"),
        ("Tshirts", "topwear"),
        ("Vest top", "topwear"),
        ("Garment Upper body", "topwear"),
        ("Men/Tops/Hoodies & Sweatshirts", "topwear"),
        ("Women/Tops/Bras & Tanks", "topwear"),
        ("Women/Tops/Jackets", "outerwear"),
        ("Men/Bottoms/Pants", "bottomwear"),
        ("Leggings/Tights", "bottomwear"),
        ("Underwear Tights", "socks"),
        ("Kids Underwear top", "innerwear & nightwear"),
        ("Pyjama jumpsuit/playsuit", "innerwear & nightwear"),
        ("Innerwear Vests", "innerwear & nightwear"),
        ("Swimwear bottom", "swimwear"),
        ("Kurta Sets", "ethnic wear"),
        ("Gear / Bags / Collections / New Luma Yoga Collection", "bags"),
        ("Watches", "watches"),
        ("Necklace and Chains", "jewellery"),
        ("Sunglasses", "eyewear"),
        ("Hat/beanie", "headwear"),
        ("Ties", "scarves, ties & gloves"),
        ("Perfume and Body Mist", "beauty"),
        ("Home & Garden", "furniture & home"),
        ("Camera & Photo", "electronics"),
        ("Accessories", None),
        ("Unknown", None),
        ("", None),
    ],
)
def test_shops_values_belong_to_families(value: str, family: str | None) -> None:
    """Whatever a shop calls a product, its family is found; words that say nothing have none."""
    assert family_of(value) == family


@pytest.mark.parametrize(
    ("value", "gender"),
    [
        ("Women", "Women"),
        ("Ladieswear", "Women"),
        ("men's", "Men"),
        ("Girls", "Girls"),
        ("Kids", "Kids"),
        ("Kids Girls", "Girls"),
        ("Men/Women", "Unisex"),
        ("boys & girls", "Kids"),
        ("Men, Girls", None),
        ("Divided", None),
    ],
)
def test_shops_values_mean_groups_of_people(value: str, gender: str | None) -> None:
    """Men and women together are everybody, boys and girls are kids, and a clash is nothing."""
    assert gender_of(value) == gender


@pytest.mark.parametrize(
    ("value", "colours"),
    [
        ("Navy Blue", ["blue"]),
        ("Yellowish Brown", ["brown"]),
        ("Greenish Khaki", ["green"]),
        ("Red/White", ["red", "white"]),
        ("Grey Melange", ["grey"]),
        ("Other Pink", ["pink"]),
        ("undefined", []),
    ],
)
def test_shops_values_are_shades_of_basic_colours(value: str, colours: list[str]) -> None:
    """The head word decides, and lists have several colours."""
    assert [shade.colour for shade in shades_of(value)] == colours


def test_colours_agree_by_degrees() -> None:
    """The same word agrees fully, another shade nearly, a near colour partly, another colour not at all."""
    degrees = [colour_agreement("navy", offered) for offered in ("Navy", "Navy Blue", "Turquoise", "Red")]
    assert degrees == sorted((d for d in degrees if d is not None), reverse=True)
    assert (degrees[0], degrees[-1]) == (1.0, 0.0)
    assert colour_agreement("Unheard of", "unheard-of") == 1.0
    assert colour_agreement("red", "undefined") is None


@given(st.sampled_from(COLOURS), st.sampled_from(COLOURS))
def test_colour_agreement_is_mutual(one: str, other: str) -> None:
    """It does not matter which of two colours is asked for."""
    assert colour_agreement(one, other) == colour_agreement(other, one)


@given(st.sampled_from(GENDERS), st.sampled_from(GENDERS))
def test_gender_agreement_is_mutual(one: str, other: str) -> None:
    """Agreement is 1 with itself, the same both ways, and a contradiction never agrees much."""
    assert gender_agreement(one, one) == 1.0
    assert gender_agreement(one, other) == gender_agreement(other, one) <= 1.0
    assert contradicts(one, other) == contradicts(other, one)
    assert not contradicts(one, other) or gender_agreement(one, other) <= 0.1


def test_unisex_and_kids_contradict_nobody() -> None:
    """Only what is plainly for the other sex may be dropped; an age is a matter of degree."""
    assert all(not contradicts(neutral, other) for neutral in ("Unisex", "Kids") for other in GENDERS)
    assert contradicts("Women", "Men")
    assert contradicts("Women", "Boys")
    assert not contradicts("Women", "Girls")
    assert gender_agreement("Men", "Unisex") == 0.7


def test_every_label_has_prompts_of_its_own() -> None:
    """Every task's labels have several prompts, and no prompt describes two of them."""
    prompts = taxonomy.prompts()
    assert set(prompts) == {"gender", "category"}
    assert tuple(prompts["category"]) == FAMILIES
    assert set(prompts["gender"]) == {"Men", "Women", "Unisex", "Boys", "Girls"}
    for labels in prompts.values():
        texts = Counter(text for label in labels.values() for text in label)
        assert max(texts.values()) == 1
        assert all(len(label) >= 3 for label in labels.values())


def test_what_a_prompt_depicts_is_in_the_family_it_is_for() -> None:
    """Prompts and words of shops mean the same by a family."""
    for family, texts in taxonomy.prompts()["category"].items():
        if family != "other":
            depicted = texts[:: len(taxonomy._PROMPTS["category"])]
            assert {family_of(phrase) for phrase in depicted} <= {family, None}, family


_COLUMNS = {
    "fashion-products": (("articleType", "subCategory"), "baseColour"),
    "hm-articles": (("product_type", "category"), "colour"),
    "luma-multiview": (("category",), "colour"),
    "clothing-dataset-small": (("category",), None),
}


def test_nearly_all_values_of_real_catalogues_are_known(
    shared_data: Path | None, drawn_catalog: Path
) -> None:
    """Of the products that say what they are, at least 98% get a family, a gender and a colour."""
    folders = [shared_data / name for name in _COLUMNS] if shared_data else [drawn_catalog]
    for folder in folders:
        with (folder / "products.csv").open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        kinds, colour = _COLUMNS.get(folder.name, (("category",), "colour"))
        families = [any(family_of(row[name]) for name in kinds) for row in rows if any(row[n] for n in kinds)]
        assert sum(families) >= 0.98 * len(families)
        genders = [gender_of(row["gender"]) is not None for row in rows if row.get("gender")]
        assert sum(genders) >= 0.98 * len(genders)
        colours = [bool(shades_of(row[colour])) for row in rows if colour and row.get(colour)]
        assert sum(colours) >= 0.98 * len(colours)
