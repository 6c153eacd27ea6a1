from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.mesh.errors import FailedPrecondition
from services.trainer.evaluation import embedding
from services.trainer.evaluation.measurement import Evaluation
from services.trainer.seen import Seen
from tests.trainer.evaluation.shops import Evaluate


def test_every_space_and_profile_is_asked(evaluation: Evaluation) -> None:
    """Photos and titles, with what the shop states and without."""
    assert [each.name for each in evaluation.rankings] == [
        "spaces.colour",
        "profiles.similar",
        "masked.profiles.similar",
    ]
    assert len(evaluation.queries) == len(evaluation.text_queries) == 64
    for ranking in evaluation.rankings:
        assert all(len(values) == 64 for values in ranking.photos.values())
        assert set(ranking.texts) == {"recall_at_1", "recall_at_10", "mrr"}
        assert ranking.photo_hits.shape == ranking.text_hits.shape == (64, 64)


def test_a_space_finds_what_its_vectors_tell(evaluation: Evaluation) -> None:
    """Mean colours tell colours apart, and say little of kinds."""
    (colour,) = evaluation.named("spaces.")
    assert np.mean(colour.photos["colour_at_10"]) > 0.5 > np.mean(colour.photos["category_at_10"])


def test_nothing_excluded_is_found(evaluation: Evaluation) -> None:
    """No answer to a photo has its own product or a double of it."""
    for ranking in evaluation.rankings:
        for query, hits in zip(evaluation.queries.tolist(), ranking.photo_hits.tolist(), strict=True):
            assert not set(hits) & set(evaluation.exclusions.of_photo(query).tolist())


def test_metadata_makes_profiles_better(evaluate: Evaluate, evaluation: Evaluation) -> None:
    """A query whose labels are known finds its gender, and candidates that contradict it are dropped."""
    known = evaluate(query_metadata=True)
    assert np.mean(known.named("profiles.")[0].photos["gender_at_10"]) == 1.0
    assert np.mean(evaluation.named("profiles.")[0].photos["gender_at_10"]) < 1.0
    dropped = known.named("profiles.")[0].dropped
    assert dropped is not None
    wrong, right, wrong_dropped, right_dropped = dropped.sum(axis=0)
    assert wrong_dropped == wrong > 0 == right_dropped < right


def test_a_sample_asks_fewer_of_all_products(evaluate: Evaluate) -> None:
    """The same seed draws the same queries, and the gallery stays whole."""
    found = evaluate(sample=7, seed=3)
    assert len(found.queries) == 7
    assert found.queries.tolist() == evaluate(sample=7, seed=3).queries.tolist()
    assert found.queries.tolist() != evaluate(sample=7, seed=4).queries.tolist()
    assert len(found.catalogue.products) == 64


def test_what_was_trained_on_is_told_or_left_out(evaluate: Evaluate, drawn_catalog: Path) -> None:
    """Seen photos are counted with a warning; unseen only, they are neither queries nor hits."""
    photos = sorted((drawn_catalog / "images").iterdir())
    seen = Seen.of(embedding.digests(photos[:10]))
    found = evaluate(seen)
    assert found.photos_trained_on == 10
    assert any("trained on 10 of these 72 photos" in warning for warning in found.warnings)
    unseen = evaluate(seen, unseen_only=True)
    assert unseen.photos_trained_on == 0
    assert len(unseen.catalogue.photos) == 62
    assert not any("trained on" in warning for warning in unseen.warnings)


def test_unseen_photos_have_to_be_known(evaluate: Evaluate, drawn_catalog: Path) -> None:
    """Without the list of the training, or with nothing left, there is no claim to make."""
    with pytest.raises(FailedPrecondition, match="not known"):
        evaluate(unseen_only=True)
    everything = Seen.of(embedding.digests(sorted((drawn_catalog / "images").iterdir())))
    with pytest.raises(FailedPrecondition, match="trained on all"):
        evaluate(everything, unseen_only=True)
