from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.embedder.models import minilm


@pytest.fixture(scope="module")
def encoder(models_dir: Path) -> minilm.MiniLM:
    folder = models_dir / "minilm"
    return minilm.load(folder / "model.safetensors", folder / "tokenizer.json")


def test_meaning_counts_more_than_letters(encoder: minilm.MiniLM) -> None:
    """Sentences that mean the same are nearer than ones that share words."""
    vectors = encoder.encode(["crimson sneakers", "red shoes", "red wine"])
    same, words = vectors[1] @ vectors[0], vectors[1] @ vectors[2]
    assert same > words
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_vectors_are_the_published_ones(encoder: minilm.MiniLM) -> None:
    """The similarity of a published example pair is met."""
    first, second = encoder.encode(["That is a happy person", "That is a very happy person"])
    assert float(first @ second) == pytest.approx(0.943, abs=0.002)


def test_padding_changes_nothing(encoder: minilm.MiniLM) -> None:
    """A short text has the same vector beside a long one as alone."""
    long = "a very long description of a pair of blue denim trousers with five pockets"
    together = encoder.encode(["jeans", long])[0]
    torch.testing.assert_close(together, encoder.encode(["jeans"])[0], atol=1e-5, rtol=0)


def test_endless_texts_are_cut(encoder: minilm.MiniLM) -> None:
    """More tokens than the model was made for are cut, not an error."""
    vectors = encoder.encode(["shoe " * 255, "shoe " * 900])
    assert vectors[0] @ vectors[1] > 0.99
