"""Ranking profiles: what each term of a score weighs, fitted once and the same wherever products are ranked.

The gateway freezes them into a catalogue's generation, and the evaluation measures them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VISUAL = "visual."
DEFAULT = "similar"

# Of a space that a profile does not know, should the embedder have one.
_OTHER_VISUAL_WEIGHT = 0.2

# What is stated of a product, or said by the shopper, outweighs any difference in looks.
_KNOWN = {"known.gender": 2.5, "known.category": 0.6, "said.colour": 0.2}

_VISUAL_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    # Looks alike in everything that a shopper sees, the colour included.
    DEFAULT: {"resnet50": 0.20, "clip": 0.25, "triplet": 0.35, "colour": 0.20},
    # The same cut and kind in whatever colour.
    "same_style": {"resnet50": 0.30, "clip": 0.20, "triplet": 0.50, "colour": 0.0},
}
_MEANING_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    DEFAULT: {
        "semantic.gender": 0.80,
        "semantic.category": 0.07,
        "semantic.type": 0.06,
        "semantic.colour": 0.05,
        **_KNOWN,
        "known.type": 0.06,
        "known.colour": 0.06,
        "text.match": 0.15,
    },
    "same_style": {
        "semantic.gender": 0.80,
        "semantic.category": 0.05,
        "semantic.type": 0.05,
        **_KNOWN,
        "known.type": 0.10,
        "text.match": 0.15,
    },
}


def profiles(spaces: Iterable[str]) -> dict[str, dict[str, float]]:
    """The weight of each term, by profile, for a catalogue with these spaces; the default profile first.

    The weights of the spaces add up to 1, whichever there are. Every space is a profile of its own besides.
    """
    names = list(spaces)
    found: dict[str, dict[str, float]] = {}
    for profile, known in _VISUAL_WEIGHTS.items():
        weights = {space: known.get(space, _OTHER_VISUAL_WEIGHT) for space in names}
        total = sum(weights.values())
        if total:
            visual = {f"{VISUAL}{space}": weight / total for space, weight in weights.items() if weight}
            found[profile] = {**visual, **_MEANING_WEIGHTS[profile]}
    return found | {space: {f"{VISUAL}{space}": 1.0} for space in names}
