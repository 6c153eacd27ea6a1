"""The spaces and how each makes its vectors, loaded from models directories."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from services.embedder import weights
from services.embedder.devices import Placement
from services.embedder.models import model_cards
from services.embedder.models.family import Batch, Family, Folder, Preprocessing, Recipe, Space, Towers
from services.embedder.models.registry import FAMILIES
from services.embedder.weights import WEIGHTS_MISSING
from services.mesh.errors import FailedPrecondition
from services.mesh.registries import sha256

__all__ = ["WEIGHTS_MISSING", "Batch", "Preprocessing", "Space", "Towers", "load", "survey"]

_NOWHERE = Placement(torch.device("meta"), torch.float32)

T = TypeVar("T")


def load(models_dirs: Sequence[Path], placement: Placement) -> tuple[Towers, ...]:
    """The towers of every space in every directory, with or without weights.

    Those of the first directory are the defaults. Further ones stand beside them unless they are the same
    model; what they share with another is loaded once. A space whose weights are missing, damaged or made
    for another trunk is unavailable and says why; nothing is ever given random weights.
    """
    parts: dict[Hashable, Any] = {}
    loaded: list[Towers] = []
    for index, models_dir in enumerate(models_dirs):
        shelf = _Shelf(models_dir, placement, parts)
        for family in FAMILIES:
            towers = _towers(family, shelf, {each.space.digest for each in loaded}, is_default=index == 0)
            if towers is not None:
                loaded.append(towers)
    return tuple(loaded)


def survey(models_dir: Path, *, thorough: bool = False) -> tuple[Space, ...]:
    """The spaces that `load` would find there, each with its model and digest or why it has none.

    Nothing is loaded. Files are looked for and, if thorough, read and compared.
    """
    shelf = _Shelf(models_dir, _NOWHERE, {}, thorough=thorough)
    spaces = []
    for family in FAMILIES:
        space = _space(family)
        try:
            recipe = family.recipe(shelf)
        except FailedPrecondition as error:
            spaces.append(replace(space, unavailable_reason=error.message))
        else:
            spaces.append(_made_of(space, recipe))
    return tuple(spaces)


def _towers(family: Family, shelf: _Shelf, digests: Collection[str], *, is_default: bool) -> Towers | None:
    """The towers of a family, or None for a model that is loaded already: its digest is among `digests`."""
    space = replace(_space(family), default=is_default)
    try:
        recipe = family.recipe(shelf)
        if recipe.digest in digests:
            return None
        device = str(shelf.placement.device)
        return recipe.make(replace(_made_of(space, recipe), device=device))
    except FailedPrecondition as error:
        return Towers(replace(space, unavailable_reason=error.message))


def _space(family: Family) -> Space:
    return Space(
        family.space, family.model, family.dim, family.accepts_text, card=model_cards.of(family.model)
    )


def _made_of(space: Space, recipe: Recipe) -> Space:
    return replace(space, model=recipe.model, digest=recipe.digest, card=recipe.card)


class _Shelf:
    """One models directory; `parts` are what was loaded of it and of others."""

    def __init__(
        self, models_dir: Path, placement: Placement, parts: dict[Hashable, Any], *, thorough: bool = True
    ) -> None:
        self.placement = placement
        self._models_dir = models_dir
        self._parts = parts
        self._thorough = thorough
        self._folders: dict[str, Folder] = {}

    def folder(self, name: str) -> Folder:
        # Files are hashed once, however many spaces ask for them.
        if name not in self._folders:
            manifest = weights.read(self._models_dir, name, thorough=self._thorough)
            self._folders[name] = Folder(self._models_dir / name, manifest.files, manifest.architecture)
        return self._folders[name]

    def head(self, file: str, trunk: str) -> tuple[Path, str]:
        path = weights.head(self._models_dir, file)
        found = weights.trunk_of(path)
        if trunk != found:
            raise FailedPrecondition(
                f"{file} was trained on trunk {found[:12]}, here is {trunk[:12]}; "
                f"`{weights.TRAIN_COMMAND}` trains it anew",
                reason=WEIGHTS_MISSING,
            )
        return path, sha256(path)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._parts:
            self._parts[key] = make()
        part: T = self._parts[key]
        return part
