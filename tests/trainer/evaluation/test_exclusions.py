from __future__ import annotations

import numpy as np

from services.trainer.evaluation.catalogue import Catalogue
from services.trainer.evaluation.embedding import Embedded
from services.trainer.evaluation.exclusions import Exclusions
from tests.trainer.evaluation.shops import shop

CATALOGUE = shop({"group_id": "a"}, {"group_id": "b"}, {"group_id": "a"}, {}, photos=[2, 1, 1, 1])


def embedded(
    catalogue: Catalogue, *, same: tuple[int, int] | None, close: tuple[int, int] | None
) -> Embedded:
    """Photos unlike each other, but for a pair of the same pixels and a pair that ResNet50 takes for one."""
    count = len(catalogue.photos)
    thumbnails = np.random.default_rng(0).integers(0, 256, (count, 32, 24, 3), dtype=np.uint8)
    vectors = np.eye(count, dtype=np.float32)
    if same:
        thumbnails[same[1]] = thumbnails[same[0]]
    if close:
        vectors[close[1]] = vectors[close[0]]
    ones = np.ones(count, dtype=np.float32)
    return Embedded({"resnet50": vectors}, thumbnails, ones, ones > 0)


def test_the_own_product_is_no_find_for_its_photo_and_the_find_for_its_title() -> None:
    """Without doubles there is nothing else to leave out."""
    found = Exclusions(CATALOGUE, embedded(CATALOGUE, same=None, close=None), with_group=False)
    assert found.of_photo(2).tolist() == [2]
    assert found.of_text(2).tolist() == []
    assert found.doubles == 0


def test_doubles_are_no_finds() -> None:
    """By pixels or by the ranker's own measure, by any photo of a product, in both directions."""
    # Photos 0 and 1 are the first product's.
    found = Exclusions(CATALOGUE, embedded(CATALOGUE, same=(1, 4), close=(2, 3)), with_group=False)
    assert [found.of_photo(product).tolist() for product in range(4)] == [[0, 3], [1, 2], [1, 2], [0, 3]]
    assert found.of_text(0).tolist() == [3]
    assert found.doubles == 2


def test_photos_of_one_product_are_no_doubles() -> None:
    """A shop may show one photo twice."""
    found = Exclusions(CATALOGUE, embedded(CATALOGUE, same=(0, 1), close=(0, 1)), with_group=False)
    assert found.doubles == 0
    assert found.of_text(0).tolist() == []


def test_groups_are_left_out_when_that_is_chosen() -> None:
    """Those without a group keep to themselves."""
    found = Exclusions(CATALOGUE, embedded(CATALOGUE, same=(0, 2), close=None), with_group=True)
    assert [found.of_photo(product).tolist() for product in range(4)] == [[0, 1, 2], [0, 1], [0, 2], [3]]
    assert found.of_text(0).tolist() == [1, 2]
