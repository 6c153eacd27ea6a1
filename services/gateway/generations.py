"""Generations: which models and weights a catalogue is searched with."""

from __future__ import annotations

from collections.abc import Iterable

from vitrine.v1 import common_pb2, embedder_pb2

FIRST = "g1"
VISUAL = "visual."
SEMANTIC_SPACE = "clip"
"""The space that labels are inferred from."""

_SIMILAR = "similar"
_VISUAL_WEIGHTS = {"resnet50": 0.40, "clip": 0.40, "triplet": 0.20}
# Of a space that the weights above do not know, should the embedder have one.
_OTHER_VISUAL_WEIGHT = 0.20
_MEANING_WEIGHTS = {
    "semantic.gender": 0.10,
    "semantic.category": 0.10,
    "semantic.colour": 0.05,
    "text.match": 0.15,
}


def frozen(models: Iterable[embedder_pb2.ModelInfo]) -> common_pb2.Generation:
    """The first generation of a catalogue: the spaces that the embedder has now."""
    specs = [model.spec for model in models if model.spec.model_digest and not model.unavailable_reason]
    weights = {spec.space: _VISUAL_WEIGHTS.get(spec.space, _OTHER_VISUAL_WEIGHT) for spec in specs}
    total = sum(weights.values())
    similar = {f"{VISUAL}{space}": weight / total for space, weight in weights.items()} | _MEANING_WEIGHTS
    return common_pb2.Generation(
        id=FIRST,
        spaces=specs,
        profiles=[
            common_pb2.Profile(name=_SIMILAR, weights=similar),
            *(common_pb2.Profile(name=spec.space, weights={f"{VISUAL}{spec.space}": 1.0}) for spec in specs),
        ],
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
