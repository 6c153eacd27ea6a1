from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from services.embedder.models import minilm
from services.mesh.errors import FailedPrecondition


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


@pytest.mark.parametrize("pickled", [False, True])
def test_a_directory_of_published_files_is_installed(
    models_dir: Path, tmp_path: Path, pickled: bool, encoder: minilm.MiniLM
) -> None:
    """The files give the same vectors from where they are installed, though the weights were torch's own."""
    source, folder = tmp_path / "source", tmp_path / "minilm"
    source.mkdir()
    folder.mkdir()
    weights, tokenizer = (models_dir / "minilm" / name for name in minilm.FILES)
    (source / tokenizer.name).symlink_to(tokenizer)
    if pickled:
        torch.save(load_file(weights), source / "pytorch_model.bin")
    else:
        (source / weights.name).symlink_to(weights)
    minilm.install(source, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(minilm.FILES)
    assert not any(path.is_symlink() for path in folder.iterdir())
    installed = minilm.load(*(folder / name for name in minilm.FILES))
    torch.testing.assert_close(installed.encode(["red shoes"]), encoder.encode(["red shoes"]))


def test_other_weights_are_refused(models_dir: Path, tmp_path: Path) -> None:
    """A directory without the files, with another model's, or with a tokenizer that is none, says so."""
    with pytest.raises(FailedPrecondition, match=r"wanted a directory with model\.safetensors and tokenizer"):
        minilm.install(tmp_path, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").symlink_to(models_dir / "resnet50" / "model.safetensors")
    with pytest.raises(FailedPrecondition, match="no tensor 'embeddings"):
        minilm.install(tmp_path, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to(models_dir / "minilm" / "model.safetensors")
    with pytest.raises(FailedPrecondition, match=r"tokenizer\.json does not fit"):
        minilm.install(tmp_path, tmp_path)
