"""What a photo looks like in each of its spaces: what labels are inferred from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.mesh.vectors import Floats

SEMANTIC_SPACE = "clip"
"""The space that prompts are in."""


@dataclass(frozen=True, slots=True)
class Photo:
    """By space its vector, float32 [dimension], and the hex digest of the model that made it."""

    vectors: Mapping[str, Floats]
    digests: Mapping[str, str]
