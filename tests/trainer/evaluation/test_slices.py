from __future__ import annotations

import numpy as np

from services.trainer.evaluation import slices
from tests.trainer.evaluation.shops import shop


def test_slices_are_what_they_are_called() -> None:
    """Words from thirty queries on, families and people by the taxonomy, phones by the border."""
    catalogue = shop(
        *[{"gender": "Women", "category": "Shoes"}] * 30,
        {"gender": "Men", "category": "Bags"},
        {"gender": "Unisex", "type": "Watches"},
    )
    plainness = np.ones(31, dtype=np.float32)
    plainness[0] = 0.1
    # The first product is not among the queries.
    found = slices.of(catalogue, np.arange(1, 32), plainness)
    assert {name: int(flags.sum()) for name, flags in found.items()} == {
        "footwear": 29,
        "accessories": 2,
        "phone_photos": 1,
        "men_women": 30,
    }
    whole = slices.of(catalogue, np.arange(32), np.ones(32, dtype=np.float32))
    assert whole["gender/Women"].tolist() == whole["category/Shoes"].tolist() == [True] * 30 + [False] * 2
    assert "phone_photos" not in whole
