from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from services.embedder.models import open_clip as ours
from services.mesh.errors import FailedPrecondition, InvalidArgument
from tests.embedder import drawings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip
    from open_clip import transform


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded ViT-B-32 as somebody might have trained it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "ours.safetensors"
    save_file(open_clip.create_model("ViT-B-32").state_dict(), path)
    return path


def test_a_local_checkpoint_embeds_pictures_and_texts(checkpoint: Path) -> None:
    """Any checkpoint of a known architecture gives L2-normalised vectors of both kinds."""
    model = ours.load("ViT-B-32", checkpoint)
    pixels = torch.randint(0, 256, (2, model.image_size, model.image_size, 3), dtype=torch.uint8)
    pictures, texts = model.encode_images(pixels), model.encode_texts(["red shoes", "blue jeans"])
    assert (model.dim, model.image_size) == (512, 224)
    assert pictures.shape == texts.shape == (2, 512)
    for vectors in (pictures, texts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert model.scale == pytest.approx(1 / 0.07, rel=1e-4)


def test_pictures_are_prepared_as_the_model_wants(checkpoint: Path) -> None:
    """Our preparation of uint8 pixels equals the library's own of the picture."""
    model = ours.load("ViT-B-32", checkpoint)
    picture = drawings.clock().resize((224, 224))
    prepare = transform.image_transform_v2(
        transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(model._model)), is_train=False
    )
    with torch.inference_mode():
        theirs = model._model.encode_image(prepare(picture)[None], normalize=True)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, 224, 224, 3)
    torch.testing.assert_close(model.encode_images(pixels), theirs, atol=1e-5, rtol=0)


def test_a_missing_checkpoint_is_no_model(tmp_path: Path) -> None:
    """There is no model with random weights."""
    with pytest.raises(FileNotFoundError):
        ours.load("ViT-B-32", tmp_path / "absent.safetensors")


def test_an_architecture_nobody_knows_is_refused(checkpoint: Path) -> None:
    """A mistyped architecture is the caller's mistake, not a fault of the file."""
    with pytest.raises(InvalidArgument, match="no architecture 'ViT-Z-1'"):
        ours.load("ViT-Z-1", checkpoint)


def test_a_checkpoint_of_another_architecture_is_refused(checkpoint: Path) -> None:
    """What does not fit is told with the file's name, in whatever way the library fails."""
    with pytest.raises(FailedPrecondition, match=r"ours\.safetensors does not fit") as caught:
        ours.load("ViT-S-32-alt", checkpoint)
    assert caught.value.reason == "WEIGHTS_UNFIT"
