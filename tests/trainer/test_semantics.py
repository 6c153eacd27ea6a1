from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.embedder.engine import Vectors
from services.embedder.towers import Space
from services.trainer import semantics

PROMPTS = {"gender": {"Men": ["men"], "Women": ["women", "ladies"]}, "category": {"Shoes": ["shoes"]}}


class Letters:
    """Stands in for the engine: a text's vector counts its letters."""

    spaces = (
        Space("resnet50", "r", 3, accepts_text=False),
        Space("clip", "c", 26, accepts_text=True, digest="abc"),
    )

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_texts(self, texts: Sequence[str], spaces: Sequence[str]) -> dict[str, Vectors]:
        self.embedded += texts
        counts = np.array(
            [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts], np.float32
        )
        return {"clip": counts / np.linalg.norm(counts, axis=1, keepdims=True)}

    def softmax_scale(self, space: str) -> float:
        return 20.0


def test_the_artefact_holds_every_task(tmp_path: Path) -> None:
    """Labels, unit vectors, biases and the scale of each task lie under the digest of the clip model."""
    path = semantics.prepare(Letters(), PROMPTS, tmp_path)
    assert path == tmp_path / "semantics" / "abc.npz"
    with np.load(path) as stored:
        assert stored["gender.labels"].tolist() == ["Men", "Women"]
        assert stored["gender.matrix"].shape == (2, 26)
        assert stored["gender.matrix"].dtype == stored["gender.bias"].dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(stored["gender.matrix"], axis=1), 1, atol=1e-6)
        assert stored["gender.bias"].tolist() == [0, 0]
        assert float(stored["category.scale"]) == 20.0


def test_it_is_made_once(tmp_path: Path) -> None:
    """The same prompts are not embedded again, other prompts are."""
    engine = Letters()
    semantics.prepare(engine, PROMPTS, tmp_path)
    engine.embedded.clear()
    semantics.prepare(engine, PROMPTS, tmp_path)
    assert engine.embedded == []
    semantics.prepare(engine, {"category": {"Shoes": ["a shoe"]}}, tmp_path)
    assert engine.embedded == ["a shoe"]
    assert [file.name for file in (tmp_path / "semantics").iterdir()] == ["abc.npz"]
