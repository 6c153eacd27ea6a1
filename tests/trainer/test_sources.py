from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from services.embedder import weights
from services.embedder.models import triplet
from services.embedder.weights import Progress
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.mesh.models_dir import models_dir_default
from services.trainer.catalogues import Photo
from services.trainer.sources import Sources


@pytest.fixture
def sources(tmp_path: Path, silent: Progress) -> Sources:
    """A models directory with the trunk of this machine and a triplet head of its own."""
    weights.pull(["resnet50"], models_dir_default(), silent)
    models_dir = tmp_path / "models"
    (models_dir / "heads").mkdir(parents=True)
    (models_dir / "resnet50").symlink_to(models_dir_default() / "resnet50")
    sources = Sources(models_dir, tmp_path / "cache", silent, device="cpu")
    write_head(sources, seed=0)
    return sources


def write_head(sources: Sources, *, seed: int) -> None:
    torch.manual_seed(seed)
    tensors = {name: each.half() for name, each in triplet.new().state_dict().items()}
    save_file(tensors, sources.models_dir / "heads" / "triplet.safetensors", {"trunk": sources.trunk})


@pytest.fixture
def files(photos: list[Photo], tmp_path: Path) -> list[Photo]:
    """Four photos on disk."""
    found = [replace(photo, path=tmp_path / photo.path) for photo in photos[:4]]
    for number, photo in enumerate(found):
        picture = Image.new("RGB", (32, 32), photo.colour)
        picture.paste("white", (number * 5, 0, number * 5 + 8, 20))
        picture.save(photo.path)
    return found


def test_a_head_trained_meanwhile_gives_the_vectors(sources: Sources, files: list[Photo]) -> None:
    """What is kept under a model's digest is that model's, whichever was loaded before."""
    features = sources.vectors(files, "resnet50").astype(np.float32)
    before = sources.vectors(files, "triplet")
    write_head(sources, seed=1)
    after = sources.vectors(files, "triplet")
    head = triplet.load(sources.models_dir / "heads" / "triplet.safetensors").eval()
    with torch.inference_mode():
        expected = head(torch.from_numpy(features)).numpy()
    # Cosines: the engine may compute in another number format than this.
    assert (after * expected).sum(axis=1).min() > 0.99
    assert (before * expected).sum(axis=1).max() < 0.9


def test_a_space_that_is_not_there_is_told(sources: Sources) -> None:
    """An unknown space is a mistake, and one without weights says how to get them."""
    with pytest.raises(InvalidArgument, match="no space 'nose', there are resnet50") as caught:
        sources.digest("nose")
    assert caught.value.field == "spaces"
    with pytest.raises(FailedPrecondition, match="vitrine models pull"):
        sources.digest("clip")


def test_catalogues_have_names_of_their_own(sources: Sources, tmp_path: Path) -> None:
    """Two of one name would be taken for each other in the cache, and one without photos teaches nothing."""
    for parent in ("a", "b"):
        (tmp_path / parent / "shop").mkdir(parents=True)
        (tmp_path / parent / "shop" / "products.csv").write_text("id,image\n")
    with pytest.raises(InvalidArgument, match="two catalogues have one name: shop, shop"):
        sources.photos([tmp_path / "a" / "shop", tmp_path / "b" / "shop"])
    with pytest.raises(InvalidArgument, match="shop has no photos"):
        sources.photos([tmp_path / "a" / "shop"])
