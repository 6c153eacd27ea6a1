"""Which families of models there are. A new one is a file beside this one and a line here."""

from __future__ import annotations

from services.embedder.models import clip, colour, resnet50, triplet
from services.embedder.models.family import Family

FAMILIES: tuple[Family, ...] = (resnet50.FAMILY, triplet.FAMILY, colour.FAMILY, clip.FAMILY)
