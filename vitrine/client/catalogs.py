"""Catalogues and their generations as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vitrine.client.moments import moment_of
from vitrine.v1 import catalog_pb2, common_pb2

_STATES = {
    catalog_pb2.GENERATION_STATE_BUILDING: "building",
    catalog_pb2.GENERATION_STATE_READY: "ready",
    catalog_pb2.GENERATION_STATE_ACTIVE: "active",
}


@dataclass(frozen=True)
class Generation:
    """A frozen set of models and weights, and how far it is: `state` is building, ready or active.

    `products` are those that have been embedded for it, and `problem` says why that does not go on.
    """

    id: str
    state: str
    products: int
    problem: str
    spaces: Sequence[str]
    profiles: Sequence[str]


@dataclass(frozen=True)
class Catalog:
    """A catalogue; `generation`, `spaces` and `profiles` are those of its active generation."""

    id: str
    products: int
    photos: int
    revision: int
    generation: str
    spaces: Sequence[str]
    profiles: Sequence[str]
    created: datetime | None
    generations: Sequence[Generation] = ()


def catalog_of(message: catalog_pb2.Catalog) -> Catalog:
    """The catalogue in a message."""
    active = message.active_generation
    return Catalog(
        id=message.name.rpartition("/")[2],
        products=message.product_count,
        photos=message.photo_count,
        revision=message.revision,
        generation=active.id,
        spaces=_spaces(active),
        profiles=_profiles(active),
        created=moment_of(message, "create_time"),
        generations=tuple(generation_of(status) for status in message.generations),
    )


def generation_of(message: catalog_pb2.GenerationStatus) -> Generation:
    """The generation in a message."""
    return Generation(
        id=message.generation.id,
        state=_STATES.get(message.state, ""),
        products=message.product_count,
        problem=message.problem,
        spaces=_spaces(message.generation),
        profiles=_profiles(message.generation),
    )


def _spaces(generation: common_pb2.Generation) -> tuple[str, ...]:
    return tuple(spec.space for spec in generation.spaces)


def _profiles(generation: common_pb2.Generation) -> tuple[str, ...]:
    return tuple(profile.name for profile in generation.profiles)
