from __future__ import annotations

from pathlib import Path

import pytest

from services.embedder import towers, weights
from services.embedder.models import model_cards
from services.embedder.models.family import Family
from services.embedder.models.registry import FAMILIES
from services.mesh.registries import sha256
from services.trainer import cards

HEADS = {
    "triplet-resnet50": "triplet.safetensors",
    "colour-resnet50": "colour.safetensors",
    "dual-encoder": "dual_encoder.safetensors",
}


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A head that somebody has trained."""
    made = tmp_path / "triplet.safetensors"
    made.write_bytes(b"weights")
    return made


def write(head: Path, digest: str, text: str) -> None:
    """What the trainer would write beside a head."""
    lines = (
        f"| {head.name} | `{digest}` |\n\n## {head.name}\n\n{text}\n\n## other.safetensors\n\nOf another.\n"
    )
    (head.parent / cards.TEXT_CARD).write_text(lines)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.space)
def test_every_space_has_a_card_without_weights(family: Family, tmp_path: Path) -> None:
    """What a space would be can be read before its weights are there."""
    [space] = [each for each in towers.survey(tmp_path) if each.name == family.space]
    assert space.unavailable_reason
    assert space.card == model_cards.of(family.model)


def test_every_model_has_a_card(models_dir: Path) -> None:
    """Cards say the same things in the same order, within their limit and without an address."""
    for space in towers.survey(models_dir):
        assert space.card.startswith("# ")
        places = [
            space.card.index(f"\n## {title}\n")
            for title in ("What it is", "How well it does", "Good for", "Not good for")
        ]
        assert places == sorted(places)
        assert len(space.card.encode()) <= model_cards.MAX_BYTES
        assert "://" not in space.card


@pytest.mark.parametrize(("model", "file"), HEADS.items())
def test_figures_are_those_of_the_shipped_head(model: str, file: str) -> None:
    """A card names the weights that were measured, so that new ones are not shipped with old figures."""
    path = weights.HEADS_DIR / file
    digest = sha256(path)
    assert f"`{digest[:12]}`" in model_cards.of(model)
    trained = model_cards.of_head(model, path, digest)
    assert "| fashion-products-44k-60px | 34,359 |" in trained
    assert trained.count("Photos: 38,554 train") == 1


def test_a_head_of_ones_own_comes_with_what_its_trainer_wrote(head: Path) -> None:
    """Of the card beside a head, what is about that head is taken over, and no other's."""
    digest = sha256(head)
    write(head, digest, "Made from *much*.")
    card = model_cards.of_head("triplet-resnet50", head, digest)
    assert card.startswith(model_cards.of("triplet-resnet50"))
    assert card.endswith(f"`triplet.safetensors`, `{digest[:12]}`.\n\nMade from *much*.\n")


@pytest.mark.parametrize("case", ["no card", "another head's card", "a card that is too long"])
def test_nothing_wrong_is_told_of_a_head(head: Path, case: str) -> None:
    """Where nothing is known of how a head was trained, its card says so."""
    digest = sha256(head)
    if case != "no card":
        text = "x" * model_cards.MAX_BYTES if case == "a card that is too long" else "Made from much."
        write(head, "0" * 64 if case == "another head's card" else digest, text)
    card = model_cards.of_head("triplet-resnet50", head, digest)
    assert card.endswith("Nothing is known of that.\n")
    assert len(card.encode()) <= model_cards.MAX_BYTES


def test_a_checkpoint_is_called_by_its_architecture() -> None:
    """A checkpoint of open_clip has a card that names its architecture and promises no figures."""
    card = model_cards.of_checkpoint("ViT-L-14")
    assert card.startswith("# CLIP: ViT-L-14\n")
    assert "{" not in card
