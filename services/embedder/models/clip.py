"""The space `clip` of pictures and texts: a checkpoint of open_clip, or this project's dual encoder."""

from __future__ import annotations

from services.embedder.models import dual_encoder, minilm, model_cards, resnet50
from services.embedder.models.family import Family, Recipe, Shelf, Space, Towers


def _recipe(shelf: Shelf) -> Recipe:
    folder = shelf.folder("clip")
    if folder.architecture == dual_encoder.ARCHITECTURE:
        return dual_encoder.recipe(shelf)

    def make(space: Space) -> Towers:
        # Importing open_clip takes many seconds, which only those who serve a checkpoint of it should pay.
        from services.embedder.models import open_clip  # noqa: PLC0415

        return open_clip.towers(shelf, folder, space)

    card = model_cards.of_checkpoint(folder.architecture)
    return Recipe(folder.architecture, list(folder.files.values()), make, card)


FAMILY = Family(
    "clip",
    dual_encoder.ARCHITECTURE,
    dual_encoder.DIM,
    accepts_text=True,
    recipe=_recipe,
    sources=(resnet50.SOURCE, minilm.SOURCE),
)
