from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.mesh.errors import InvalidArgument
from services.trainer.evaluation import catalogue
from tests.trainer.evaluation.shops import shop
from vitrine.catalogs.folder import CatalogFolder


def test_a_folder_is_read_as_it_is_indexed(drawn_catalog: Path) -> None:
    """Columns are mapped to our names, products are in the order of their ids, with all their photos."""
    found = catalogue.read(CatalogFolder(drawn_catalog))
    assert len(found.products) == 64
    assert len(found.photos) == 72
    first = found.products[0]
    assert (first.product_id, first.title) == ("1000", "Men's red shirts")
    assert first.labels == {"gender": "Men", "category": "Topwear", "type": "Shirts", "colour": "Red"}
    assert [photo.name for photo in first.photos] == ["1000-0.png", "1000-1.png"]
    assert found.first_photos.tolist()[:3] == [0, 2, 3]


def test_only_the_products_named_exist(drawn_catalog: Path) -> None:
    """Ids in a file make a catalogue of their own; where none is there, that is told."""
    found = catalogue.read(CatalogFolder(drawn_catalog), ["1002", "1001", "no such id"])
    assert [product.product_id for product in found.products] == ["1001", "1002"]
    with pytest.raises(InvalidArgument) as caught:
        catalogue.read(CatalogFolder(drawn_catalog), ["no such id"])
    assert caught.value.field == "products"


def test_words_are_equal_whatever_their_case() -> None:
    """Codes compare the shop's own words; who says nothing has none."""
    found = shop({"gender": "Women"}, {"gender": "men"}, {}, {"gender": "WOMEN"})
    codes = found.codes("gender").tolist()
    assert codes[0] == codes[3] != codes[1]
    assert codes[2] == -1
    assert found.codes("colour").tolist() == [-1] * 4


def test_a_product_without_a_photo_is_left_out() -> None:
    """Photos are taken away one by one, products with their last."""
    found = shop({}, {}, photos=[2, 1]).keep(np.array([False, True, False]))
    assert [photo.name for photo in found.photos] == ["p00-1.jpg"]
    assert len(found.products) == 1
