from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.mesh.registries import Package
from tests.drawings import draw
from vitrine.catalogs.demo import LICENCES, Demo, prepare
from vitrine.catalogs.folder import CatalogFolder
from vitrine.catalogs.refarch import NOTICE, REFARCH
from vitrine.catalogs.rows import CatalogRow

SITE = "package/site-import"
FOLDER = f"{SITE}/catalogs/apparel-m-catalog"

CATALOG = """<?xml version="1.0" encoding="UTF-8"?>
<catalog xmlns="http://www.demandware.com/xml/impex/catalog/2006-10-31" catalog-id="apparel">
  <category category-id="womens"><display-name xml:lang="x-default">Womens</display-name></category>
  <category category-id="womens-clothing">
    <display-name xml:lang="x-default">Clothing</display-name>
    <display-name xml:lang="fr-FR">Vêtements</display-name>
  </category>
  <category category-id="womens-clothing-tops">
    <display-name xml:lang="x-default">Tops</display-name>
  </category>
  <category category-id="mens"><display-name xml:lang="x-default">Mens</display-name></category>
  <category category-id="mens-suits"><display-name xml:lang="x-default">Suits</display-name></category>
  <product product-id="shirtM">
    <display-name xml:lang="x-default">Silk Shirt</display-name>
    <display-name xml:lang="fr-FR">Chemise en soie</display-name>
    <display-name xml:lang="ja-JP">シルクシャツ</display-name>
    <short-description xml:lang="x-default">Light &amp; cool.</short-description>
    <long-description xml:lang="x-default">&lt;ul&gt;&lt;li&gt;silk&lt;/li&gt;
      &lt;li&gt;dry clean&lt;/li&gt;&lt;/ul&gt;</long-description>
    <images>
      <image-group view-type="large"><image path="large/red.jpg"/><image path="large/back.jpg"/></image-group>
      <image-group view-type="large">
        <variation attribute-id="color" value="B"/>
        <image path="large/blue.jpg"/><image path="large/gone.jpg"/><image path="large/red.jpg"/>
      </image-group>
      <image-group view-type="small"><image path="small/red.jpg"/></image-group>
    </images>
    <variations>
      <attributes>
        <variation-attribute attribute-id="size" variation-attribute-id="size">
          <variation-attribute-values>
            <variation-attribute-value value="008">
              <display-value xml:lang="x-default">8</display-value>
            </variation-attribute-value>
            <variation-attribute-value value="010">
              <display-value xml:lang="x-default">10</display-value>
            </variation-attribute-value>
          </variation-attribute-values>
        </variation-attribute>
      </attributes>
      <variants><variant product-id="shirt-1"/><variant product-id="shirt-2"/></variants>
    </variations>
  </product>
  <product product-id="shirt-1">
    <custom-attributes><custom-attribute attribute-id="refinementColor">red</custom-attribute>
    </custom-attributes>
  </product>
  <product product-id="shirt-2">
    <custom-attributes><custom-attribute attribute-id="refinementColor">blue</custom-attribute>
    </custom-attributes>
  </product>
  <product product-id="suitM">
    <display-name xml:lang="x-default">Wool Suit</display-name>
    <short-description xml:lang="x-default">Warm.</short-description>
    <long-description xml:lang="x-default">Warm.</long-description>
    <images><image-group view-type="large"><image path="large/suit.jpg"/></image-group></images>
  </product>
  <category-assignment category-id="womens-clothing-tops" product-id="shirtM"/>
  <category-assignment category-id="mens-suits" product-id="suitM"/>
</catalog>
"""

PRICES = """<?xml version="1.0" encoding="UTF-8"?>
<pricebooks xmlns="http://www.demandware.com/xml/impex/pricebook/2006-10-31"><pricebook><price-tables>
{}
</price-tables></pricebook></pricebooks>
"""
PRICE = '<price-table product-id="{}"><amount quantity="1">{}</amount></price-table>'


def prices(amounts: Mapping[str, float]) -> bytes:
    return PRICES.format("\n".join(PRICE.format(*each) for each in amounts.items())).encode()


def photo(kind: str, colour: str) -> bytes:
    file = io.BytesIO()
    draw(kind, colour).save(file, "JPEG")
    return file.getvalue()


def registry(package: Package, directory: Path) -> Path:
    """The package as its registry would give it, drawn."""
    files = {
        f"{FOLDER}/catalog.xml": CATALOG.encode(),
        f"{SITE}/pricebooks/usd-m-list-prices.xml": prices({"shirt-1": 90, "shirt-2": 80.5, "other": 1}),
        f"{SITE}/pricebooks/usd-m-sale-prices.xml": prices({"shirt-1": 75}),
        **{
            f"{FOLDER}/static/default/images/large/{name}.jpg": photo(kind, colour)
            for name, kind, colour in (
                ("red", "Shirts", "Red"),
                ("back", "Shirts", "White"),
                ("blue", "Shirts", "Blue"),
                # The very photo of the shirt.
                ("suit", "Shirts", "Red"),
            )
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "archive"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return prepare(tmp_path, lambda _shop, _what: None, shops=(REFARCH,), client=registry)


@pytest.fixture
def products(demo: Demo) -> dict[str, CatalogRow]:
    rows = [row for row in CatalogFolder(demo.folder) if isinstance(row, CatalogRow)]
    return {row.product_id: row for row in rows}


def test_a_product_has_what_its_parts_say(products: dict[str, CatalogRow]) -> None:
    """Photos and colours of all variants, gender and category by the ids, the lowest price, other titles."""
    shirt = products["refarch-shirtM"]
    assert (shirt.title, shirt.description) == ("Silk Shirt", "Light & cool. silk dry clean")
    assert [path.name for path in shirt.photos] == [f"refarch-shirtM-{number}.jpg" for number in (1, 2, 3)]
    assert shirt.attributes == {
        "gender": ["Women"],
        "category": ["Tops"],
        "master_category": ["Clothing"],
        "colour": ["Red", "Blue"],
        "size": [8.0, 10.0],
        "title_fr": ["Chemise en soie"],
        "title_ja": ["シルクシャツ"],
        "price": [75.0],
        "shop": ["refarch"],
    }


def test_what_is_not_told_is_absent(products: dict[str, CatalogRow]) -> None:
    """A product without variants, a price or a photo of its own is one; a text that is there twice is not."""
    suit = products["refarch-suitM"]
    assert suit.description == "Warm."
    assert suit.attributes == {"gender": ["Men"], "category": ["Suits"], "shop": ["refarch"]}
    assert set(products) == {"refarch-shirtM", "refarch-suitM"}


def test_that_there_is_no_licence_is_told(demo: Demo) -> None:
    """Before it is fetched, and beside the photos."""
    assert "no licence" in NOTICE
    assert "none stated" in (demo.folder / LICENCES).read_text(encoding="utf-8")
    with (demo.folder / "products.csv").open(encoding="utf-8", newline="") as file:
        assert csv.DictReader(file).fieldnames
