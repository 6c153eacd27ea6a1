"""Which models a request means by `space` and `space@digest`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.embedder.towers import WEIGHTS_MISSING, Towers
from services.mesh.errors import FailedPrecondition, InvalidArgument

MODEL_MISSING = "MODEL_MISSING"
# Fewer characters of a digest may be unique today and ambiguous after the next model.
MIN_PREFIX = 12

# The space's name and the model's digest.
Key = tuple[str, str]


def key(towers: Towers) -> Key:
    """By what a model that is loaded is known."""
    return towers.space.name, towers.space.digest


def for_images(names: Sequence[str], loaded: Sequence[Towers]) -> list[Towers]:
    """The models that `names` mean, in that order and each once, which all take pictures.

    `space` means its default model, `space@digest` the one whose digest starts so, of which at least 12
    characters are wanted. All default models that are available when no name is given. Raises
    InvalidArgument (field `spaces`) for an unknown space, a digest too short or ambiguous, and a model that
    takes no pictures, FailedPrecondition for a default without weights (reason WEIGHTS_MISSING), which
    might be what a digest means, and for a digest that is not loaded (reason MODEL_MISSING).
    """
    return _able(names, loaded, lambda each: each.images is not None, "takes no pictures")


def for_texts(names: Sequence[str], loaded: Sequence[Towers]) -> list[Towers]:
    """As `for_images`, for models that take texts."""
    return _able(names, loaded, lambda each: each.texts is not None, "takes no text")


def _able(
    names: Sequence[str], loaded: Sequence[Towers], is_able: Callable[[Towers], bool], otherwise: str
) -> list[Towers]:
    wanted = _meant(names, loaded) or [each for each in _defaults(loaded) if is_able(each)]
    for each in wanted:
        if not is_able(each):
            raise InvalidArgument("spaces", f"the space {each.space.name!r} {otherwise}")
    return wanted


def _defaults(loaded: Sequence[Towers]) -> list[Towers]:
    return [each for each in loaded if each.space.default]


def _meant(names: Sequence[str], loaded: Sequence[Towers]) -> list[Towers]:
    found = (_one(name, loaded) for name in names)
    return list({key(each): each for each in found}.values())


def _one(name: str, loaded: Sequence[Towers]) -> Towers:
    space, at, prefix = name.partition("@")
    models = [each for each in loaded if each.space.name == space]
    if not models:
        known = ", ".join(dict.fromkeys(each.space.name for each in loaded))
        raise InvalidArgument("spaces", f"no space {space!r}, there are {known}")
    return _of_digest(space, prefix, models) if at else _default(space, models)


def _default(space: str, models: Sequence[Towers]) -> Towers:
    (default,) = _defaults(models)
    if default.space.unavailable_reason:
        raise FailedPrecondition(f"{space}: {default.space.unavailable_reason}", reason=WEIGHTS_MISSING)
    return default


def _of_digest(space: str, prefix: str, models: Sequence[Towers]) -> Towers:
    if len(prefix) < MIN_PREFIX:
        raise InvalidArgument(
            "spaces", f"{space}@{prefix}: wanted {MIN_PREFIX} characters of the digest or more"
        )
    available = [each for each in models if not each.space.unavailable_reason]
    found = [each for each in available if each.space.digest.startswith(prefix)]
    if not found:
        missing = next((each.space.unavailable_reason for each in _defaults(models)), "")
        if missing:
            raise FailedPrecondition(f"{space}: {missing}", reason=WEIGHTS_MISSING)
        known = ", ".join(f"{space}@{each.space.digest[:MIN_PREFIX]}" for each in available)
        raise FailedPrecondition(
            f"no model {space}@{prefix}, of that space there are: {known}", reason=MODEL_MISSING
        )
    if len(found) > 1:
        raise InvalidArgument("spaces", f"{space}@{prefix} means {len(found)} models: give more of it")
    return found[0]
