from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.ranker.semantics import MAX_PROBABILITY, Library, Task, read
from tests.ranker.columns import DIGEST, axis, write_semantics


def test_a_photo_gets_the_label_whose_prompts_it_is_closest_to(tmp_path: Path) -> None:
    """Each vector gets one label a task, and never the certainty that is kept for what a shop states."""
    write_semantics(tmp_path)
    prompts = Library(tmp_path).of(DIGEST, field="x")
    pairs = [axis("Men") + axis("bags"), axis("Girls") + axis("plants")]
    vectors = (np.stack(pairs) / 2**0.5).astype(np.float32)
    found = prompts.classify(vectors, field="vectors")
    assert [(labels["gender"][0], labels["category"][0]) for labels in found] == [
        ("Men", "bags"),
        ("Girls", "plants"),
    ]
    assert all(0.9 < share <= MAX_PROBABILITY for labels in found for _, share in labels.values())


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), st.floats(0.1, 100))
def test_probabilities_are_a_softmax(vector: list[float], scale: float) -> None:
    """They are positive, add up to one, and are those of the formula."""
    rng = np.random.default_rng(0)
    task = Task(("a", "b", "c"), rng.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32), scale)
    query = np.array([vector], dtype=np.float32)
    shares = task.probabilities(query)
    logits = scale * (query.astype(np.float64) @ task.matrix.T.astype(np.float64))
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=1e-3)
    assert abs(float(shares.sum()) - 1) < 1e-5


def test_another_dimension_is_refused(tmp_path: Path) -> None:
    """A vector of another space is the caller's mistake, named by its field."""
    dimension = write_semantics(tmp_path)
    prompts = Library(tmp_path).of(DIGEST, field="x")
    assert prompts.dimension == dimension
    with pytest.raises(InvalidArgument) as caught:
        prompts.distribution("gender", np.ones(3, dtype=np.float32), field="query.clip_vector")
    assert caught.value.field == "query.clip_vector"


def test_missing_prompts_are_found_once_they_are_there(tmp_path: Path) -> None:
    """Without prompts the model cannot classify; a miss is not remembered."""
    library = Library(tmp_path)
    with pytest.raises(FailedPrecondition) as caught:
        library.of(DIGEST, field="x")
    assert caught.value.reason == "SEMANTICS_MISSING"
    write_semantics(tmp_path)
    assert set(library.of(DIGEST, field="x").tasks) == {"gender", "category"}


def test_a_broken_file_is_no_prompts(tmp_path: Path) -> None:
    """Neither a torn file nor one that lacks a task takes the service down."""
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    poor: dict[str, Any] = {"gender.labels": np.array(["Men"])}
    np.savez(tmp_path / "poor.npz", **poor)
    ragged: dict[str, Any] = {}
    for task in ("gender", "category"):
        ragged |= {f"{task}.{array}": np.ones(2) for array in ("labels", "bias", "scale")}
        ragged[f"{task}.matrix"] = np.ones((3, 4))
    np.savez(tmp_path / "ragged.npz", **ragged)
    for name in ("torn", "poor", "ragged"):
        with pytest.raises(FailedPrecondition) as caught:
            read(tmp_path / f"{name}.npz")
        assert caught.value.reason == "SEMANTICS_MISSING"


def test_prompts_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    """What was asked for least recently is read again; what is kept is the same object."""
    for digest in ("a", "b", "c"):
        write_semantics(tmp_path, digest)
    library = Library(tmp_path, limit=2)
    first, second = library.of("a", field="x"), library.of("b", field="x")
    assert library.of("a", field="x") is first
    library.of("c", field="x")
    assert library.of("a", field="x") is first
    assert library.of("b", field="x") is not second


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a/b", "a.b", "x" * 129])
def test_what_is_no_digest_opens_no_file(tmp_path: Path, digest: str) -> None:
    """A digest that could leave the models directory is refused."""
    with pytest.raises(InvalidArgument) as caught:
        Library(tmp_path).of(digest, field="vectors[0].model_digest")
    assert caught.value.field == "vectors[0].model_digest"
