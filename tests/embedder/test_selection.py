from __future__ import annotations

import pytest
import torch

from services.embedder import selection
from services.embedder.towers import WEIGHTS_MISSING, Space, Towers
from services.mesh.errors import FailedPrecondition, InvalidArgument


def nothing(_: object) -> torch.Tensor:
    return torch.empty(0)


def towers(name: str, digest: str, *, texts: bool = False, default: bool = True) -> Towers:
    space = Space(name, name, 8, accepts_text=texts, digest=digest, default=default)
    return Towers(space, images=nothing, texts=nothing if texts else None)


SHAPE = towers("shape", "1" * 64)
WORDS = towers("words", "2" * 64, texts=True)
NEWER = towers("words", "3" * 40 + "a" * 24, texts=True, default=False)
NEWEST = towers("words", "3" * 40 + "b" * 24, texts=True, default=False)
BARE = Towers(Space("bare", "bare", 8, accepts_text=True, unavailable_reason="no weights here"))
ABSENT = Towers(Space("shape", "bare", 8, accepts_text=False, unavailable_reason="none", default=False))
LOADED = (SHAPE, WORDS, BARE, NEWER, NEWEST, ABSENT)


def test_no_name_means_every_default_that_can() -> None:
    """Without names the defaults are meant: those with weights, and for texts those that take them."""
    assert selection.for_images([], LOADED) == [SHAPE, WORDS]
    assert selection.for_texts([], LOADED) == [WORDS]
    assert selection.for_images([], [BARE]) == []


def test_models_come_in_the_order_of_their_names_and_once() -> None:
    """A model that is named twice, be it by its digest, is computed once; another of its space is another."""
    names = [f"words@{'3' * 40}b", "words", "shape", f"words@{'2' * 12}", "shape"]
    assert selection.for_images(names, LOADED) == [NEWEST, WORDS, SHAPE]


def test_the_key_of_a_model_is_its_space_and_digest() -> None:
    """Two models of one space have two keys."""
    assert selection.key(NEWER) == ("words", NEWER.space.digest)
    assert selection.key(NEWER) != selection.key(NEWEST)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolo", "no space 'yolo', there are shape, words, bare"),
        (f"yolo@{'1' * 12}", "no space 'yolo'"),
        ("words@", "wanted 12 characters of the digest or more"),
        (f"words@{'2' * 11}", "wanted 12 characters of the digest or more"),
        (f"words@{'3' * 12}", "means 2 models"),
        ("shape", "the space 'shape' takes no text"),
    ],
)
def test_what_cannot_be_meant_is_the_caller_s_mistake(name: str, message: str) -> None:
    """Unknown spaces, digests that are too short or ambiguous, and texts for a model that does not read."""
    with pytest.raises(InvalidArgument, match=message) as caught:
        selection.for_texts(["words", name], LOADED)
    assert caught.value.field == "spaces"


def test_a_model_without_pictures_says_so() -> None:
    """A space of texts alone is no space for pictures."""
    deaf = Towers(Space("titles", "titles", 8, accepts_text=True, digest="4" * 64), texts=nothing)
    with pytest.raises(InvalidArgument, match="the space 'titles' takes no pictures"):
        selection.for_images(["titles"], [deaf])


def test_a_default_without_weights_says_why() -> None:
    """The reason that the space is unavailable for is the message."""
    with pytest.raises(FailedPrecondition, match="bare: no weights here") as caught:
        selection.for_images(["bare"], LOADED)
    assert caught.value.reason == WEIGHTS_MISSING


def test_a_model_that_is_not_loaded_names_those_that_are() -> None:
    """A digest nobody has is no wrong request: another server, or this one later, may have the model."""
    with pytest.raises(FailedPrecondition, match=f"words@{'2' * 12}, words@{'3' * 12}") as caught:
        selection.for_images([f"words@{'f' * 12}"], LOADED)
    assert caught.value.reason == selection.MODEL_MISSING


def test_a_digest_that_a_default_without_weights_may_have_had_says_what_is_missing() -> None:
    """Nobody can tell which model it was, but what mends it is known."""
    with pytest.raises(FailedPrecondition, match="bare: no weights here") as caught:
        selection.for_images([f"bare@{'f' * 12}"], LOADED)
    assert caught.value.reason == WEIGHTS_MISSING
