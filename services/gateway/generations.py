"""Generations: which models and weights a catalogue is searched with."""

from __future__ import annotations

from collections.abc import Iterable

from services.mesh import profiles
from services.mesh.errors import FailedPrecondition
from services.mesh.profiles import VISUAL
from vitrine.v1 import common_pb2, embedder_pb2

FIRST = "g1"
SEMANTIC_SPACE = "clip"
"""The space that prompts are in, for labels to be inferred from."""


def frozen(models: Iterable[embedder_pb2.ModelInfo], *, generation: str = FIRST) -> common_pb2.Generation:
    """A generation, by default the first of a catalogue, of the spaces that the embedder has now.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) when it has none.
    """
    specs = [model.spec for model in models if model.spec.model_digest and not model.unavailable_reason]
    if not specs:
        raise FailedPrecondition(
            "the embedder has no space at all: pull models first", reason="WEIGHTS_MISSING"
        )
    weights = profiles.profiles(spec.space for spec in specs)
    return common_pb2.Generation(
        id=generation,
        spaces=specs,
        profiles=[common_pb2.Profile(name=name, weights=each) for name, each in weights.items()],
    )


def spec_of(generation: common_pb2.Generation, space: str) -> common_pb2.SpaceSpec | None:
    """A space of a generation."""
    return next((spec for spec in generation.spaces if spec.space == space), None)


def profile_of(generation: common_pb2.Generation, name: str) -> common_pb2.Profile | None:
    """A profile of a generation, the default one for an empty name."""
    if not name:
        return generation.profiles[0]
    return next((profile for profile in generation.profiles if profile.name == name), None)


def visual_weights(profile: common_pb2.Profile) -> dict[str, float]:
    """The weight of each space in a profile, in a fixed order."""
    return {
        name.removeprefix(VISUAL): weight
        for name, weight in sorted(profile.weights.items())
        if name.startswith(VISUAL) and weight
    }
