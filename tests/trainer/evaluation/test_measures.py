from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.evaluation import measures
from services.trainer.evaluation.measures import Judge
from tests.trainer.evaluation.shops import shop

WOMAN = {"gender": "Women", "category": "Tops", "type": "Shirt", "colour": "Red"}
MAN = {"gender": "Men", "category": "Tops", "type": "Shirt", "colour": "Blue"}
UNISEX = {"gender": "Unisex", "category": "Bags", "type": "Bag", "colour": "red"}
BARE: dict[str, str] = {}


def order(*rows: list[int], depth: int = 12) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    return np.array([row + [-1] * (depth - len(row)) for row in rows], dtype=np.int32)


def test_shares_are_tenths_however_few_come_back() -> None:
    """Three hits of which two are right are two tenths; Unisex equals only Unisex."""
    judge = Judge(shop(WOMAN, WOMAN, MAN, UNISEX, WOMAN))
    found = judge.photos(order([1, 2, 4], [0]), np.array([0, 3]), [np.array([0]), np.array([3])])
    assert found["gender_at_10"].tolist() == pytest.approx([0.2, 0.0])
    assert found["category_at_10"].tolist() == pytest.approx([0.3, 0.0])
    assert found["gender_and_category_at_10"].tolist() == pytest.approx([0.2, 0.0])
    assert found["precision_at_10_type"].tolist() == pytest.approx([0.3, 0.0])
    # `Red` and `red` are one word.
    assert found["colour_at_10"].tolist() == pytest.approx([0.2, 0.1])


def test_only_the_first_ten_count() -> None:
    """A right hit in the eleventh place is none."""
    judge = Judge(shop(*[WOMAN] * 3, *[MAN] * 10))
    found = judge.photos(order([*range(3, 13), 1]), np.array([0]), [np.array([0])])
    assert found["gender_at_10"].tolist() == [0.0]


def test_a_query_without_the_label_does_not_count() -> None:
    """It is NaN, and unknown hits are not right for it."""
    judge = Judge(shop(BARE, BARE, WOMAN))
    found = judge.photos(order([1, 2]), np.array([0]), [np.array([0])])
    assert all(np.isnan(values).all() for values in found.values())


def test_recall_asks_whether_any_of_the_first_is_right() -> None:
    """Of the category in the first and the first five places."""
    judge = Judge(shop(WOMAN, UNISEX, UNISEX, MAN))
    found = judge.photos(order([1, 2, 3], [3, 0]), np.array([0, 1]), [np.array([0]), np.array([1])])
    assert found["recall_at_1_category"].tolist() == [0.0, 0.0]
    assert found["recall_at_5_category"].tolist() == [1.0, 0.0]
    assert np.isnan(found["recall_at_1_master"]).all()


def test_master_categories_are_measured_where_there_are_any() -> None:
    """A coarser column has figures of its own."""
    judge = Judge(shop({"master_category": "Apparel"}, {"master_category": "apparel"}))
    found = judge.photos(order([1]), np.array([0]), [np.array([0])])
    assert found["recall_at_1_master"].tolist() == [1.0]


def test_a_group_counts_where_another_of_it_can_be_found() -> None:
    """Alone in its group, or with the others left out, a query does not count."""
    judge = Judge(shop({"group_id": "a"}, {"group_id": "a"}, {"group_id": "b"}))
    excluded = [np.array([0]), np.array([0, 1]), np.array([2])]
    found = judge.photos(order([2, 1], [2], [0]), np.array([0, 1, 2]), excluded)
    assert found["recall_at_1_group"].tolist()[0] == 0.0
    assert np.isnan(found["recall_at_1_group"][1:]).all()


def test_map_at_r_by_hand() -> None:
    """R is 3; right at ranks 1 and 3 gives (1/1 + 2/3) / 3, and the right one at rank 4 nothing."""
    right = np.array([[True, False, True, True]])
    assert measures.map_at_r(right, np.array([3])).tolist() == pytest.approx([(1 + 2 / 3) / 3])
    assert np.isnan(measures.map_at_r(right, np.array([0]))).all()


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 12))
def test_map_at_r_is_the_plain_loop(right: list[bool], relevant: int) -> None:
    """Musgrave's definition, rank by rank."""
    relevant = min(relevant, len(right))
    found = measures.map_at_r(np.array([right]), np.array([relevant]))[0]
    if relevant == 0:
        assert np.isnan(found)
        return
    total = 0.0
    for rank in range(1, relevant + 1):
        if right[rank - 1]:
            total += sum(right[:rank]) / rank
    assert found == pytest.approx(total / relevant)


def test_r_is_what_is_left_to_be_found() -> None:
    """The query and its doubles are not missed: with all others found in front, MAP@R is 1."""
    judge = Judge(shop(*[WOMAN] * 4, UNISEX))
    found = judge.photos(order([2, 3, 4]), np.array([0]), [np.array([0, 1])])
    assert found["map_at_r"].tolist() == [1.0]


def test_a_title_s_answer_is_its_own_product() -> None:
    """Rank 1, rank 4, and not found at all."""
    judge = Judge(shop(*[BARE] * 5))
    found = judge.texts(order([0, 1], [0, 2, 3, 1], [0, 1]), np.array([0, 1, 2]))
    assert found["recall_at_1"].tolist() == [1.0, 0.0, 0.0]
    assert found["recall_at_10"].tolist() == [1.0, 1.0, 0.0]
    assert found["mrr"].tolist() == [1.0, 0.25, 0.0]


def test_confusion_tells_what_was_found_instead() -> None:
    """Rows are the queries' labels and add up to 1, the last column is for nothing and nobody."""
    labels = np.array([0, 1, 1, -1])
    found = measures.confusion(labels, order([1, 2, 3], depth=10), np.array([0]))
    assert found.tolist() == [pytest.approx([0.0, 0.2, 0.8]), [0.0, 0.0, 0.0]]
