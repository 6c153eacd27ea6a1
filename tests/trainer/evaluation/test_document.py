from __future__ import annotations

import json

import numpy as np
import pytest

from services.trainer.evaluation import document
from services.trainer.evaluation.measurement import Evaluation
from tests.trainer.evaluation.shops import Evaluate


def test_figures_have_intervals_and_numbers(evaluation: Evaluation) -> None:
    """Every figure says how many queries it is of; what the catalogue cannot tell is not there."""
    found = document.of(evaluation)
    json.dumps(found, allow_nan=False)
    entry = found["spaces"]["colour"]
    assert set(entry) >= {"gender_at_10", "map_at_r", "vector_bytes", "index_bytes", "query_ms"}
    assert set(entry["gender_at_10"]) == {"value", "low", "high", "n"}
    assert "recall_at_1_group" not in entry
    assert "recall_at_1_master" not in entry
    assert set(found["profiles"]["similar"]) >= {"rank_ms", "over_best_space", "text_to_image"}
    assert found["profiles"].keys() == found["masked"]["profiles"].keys()
    assert found["catalogue"]["products"] == 64
    assert found["catalogue"]["photos_trained_on"] is None


def test_a_slice_is_the_mean_of_its_queries(evaluation: Evaluation) -> None:
    """The same values, of some queries."""
    found = document.of(evaluation)["slices"]
    assert found["gender/Women"]["n"] == 32
    flags = evaluation.slices["gender/Women"]
    (colour,) = evaluation.named("spaces.")
    assert found["gender/Women"]["spaces"]["colour"]["colour_at_10"]["value"] == pytest.approx(
        np.mean(colour.photos["colour_at_10"][flags])
    )
    assert "similar" in found["gender/Women"]["masked"]["profiles"]


def test_a_profile_is_compared_with_the_best_space(evaluation: Evaluation) -> None:
    """By the ratio of their means over the same queries."""
    found = document.of(evaluation)
    ratio = found["profiles"]["similar"]["over_best_space"]["gender_and_category_at_10"]
    means = [
        found[part][name]["gender_and_category_at_10"]["value"]
        for part, name in (("profiles", "similar"), ("spaces", "colour"))
    ]
    assert ratio["value"] == pytest.approx(means[0] / means[1], abs=1e-5)
    assert ratio["space"] == "colour"


def test_drops_are_counted_over_all_queries(evaluate: Evaluate) -> None:
    """With metadata all of the wrong gender go, none of the right one; no drops have no precision."""
    drops = document.of(evaluate(query_metadata=True))
    assert drops["drops"]["similar"]["wrong_dropped"]["value"] == 1.0
    assert drops["drops"]["similar"]["precision"]["value"] == 1.0
    assert drops["drops"]["similar"]["right_lost"]["value"] == 0.0
    assert "precision" not in drops["masked"]["drops"]["similar"]
