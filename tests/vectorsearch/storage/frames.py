"""A feed's frames, a shard that follows them, and all that a shard holds, for the tests of its disk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.vectorsearch import wire
from services.vectorsearch.columns import Column, Facts, Value
from services.vectorsearch.shard import Shard
from tests.vectorsearch.products import (
    change_message,
    deletion_message,
    facts_message,
    generations_message,
    photo,
    written,
)
from vitrine.v1 import catalog_pb2

State = dict[str, Any]

SEGMENT_ROWS = 8


def frames(count: int, *, seed: int = 0, changes: int = 4) -> list[catalog_pb2.FollowResponse]:
    """Frames with one revision a change, of writes, deletions and descriptions, and without any change.

    Products have up to three photos in one of two generations, and generations go.
    """
    chance = random.Random(seed)
    revision = 0
    made = []
    for _ in range(count):
        messages = []
        for _ in range(chance.randrange(changes + 1)):
            revision += 1
            messages.append(_change(chance, revision))
        # Changes of other shards' products move the revision too.
        revision += 1
        made.append(
            catalog_pb2.FollowResponse(changes=messages, revision=revision, head_revision=revision + 5)
        )
    return made


def follow(shard: Shard, frame: catalog_pb2.FollowResponse) -> None:
    shard.apply([wire.change_of(message) for message in frame.changes], revision=frame.revision)


def states(made: Sequence[catalog_pb2.FollowResponse]) -> dict[int, State]:
    """What a shard holds after each frame, by revision; 0 is before the first."""
    shard = Shard(segment_rows=SEGMENT_ROWS)
    reached = {0: state_of(shard)}
    for frame in made:
        follow(shard, frame)
        reached[shard.revision] = state_of(shard)
    return reached


def state_of(shard: Shard) -> State:
    """All that is held: revision, and of every product its revision, its photos bit for bit and its facts."""
    return {
        "revision": shard.revision,
        **{
            f"{size.catalog}/{size.generation}": _rows_of(shard, size.catalog, size.generation)
            for size in shard.sizes()
        },
    }


def _rows_of(shard: Shard, catalog: str, generation: str) -> State:
    rows = shard.rows(catalog, generation)
    assert rows is not None
    held = sorted(product.slot for product in rows.products.values())
    assert sorted([0, *rows._free_slots, *held]) == list(range(len(rows.product_ids)))
    assert sum(len(product.rows) for product in rows.products.values()) == rows.row_count
    products = {}
    for product_id, product in rows.products.items():
        assert rows.product_ids[product.slot] == product_id
        assert bool(rows.searchable[product.slot]) == bool(product.rows)
        for segment, row in product.rows:
            assert segment.alive[row]
            assert segment.product_ids[row] == product_id
            assert segment.slots[row] == product.slot
        products[product_id] = (
            product.revision,
            [
                (
                    segment.photo_ids[row],
                    {space: vector.tobytes() for space, vector in segment.vectors(row).items()},
                )
                for segment, row in product.rows
            ],
            {
                name: known
                for name, column in rows.columns._columns.items()
                if (known := _known(column, product.slot))
            },
        )
    return {
        "products": products,
        "spaces": dict(rows.spaces),
        "columns": sorted(rows.columns._columns),
        "most_photos": rows.most_photos,
    }


def _known(column: Column, slot: int) -> tuple[list[Value | None], float] | None:
    values = [
        column._values[level[slot]] for level in column._levels if slot < len(level) and level[slot] >= 0
    ]
    return (values, float(column._probabilities[slot])) if values else None


def _change(chance: random.Random, revision: int) -> catalog_pb2.Change:
    number = chance.randrange(12)
    facts = Facts(
        {
            "colour": chance.sample(["red", "grün", "blue", "true", ""], chance.randrange(1, 3)),
            "price": [float(chance.randrange(20))],
            "stock": [chance.random() < 0.5],
        },
        {"category": (chance.choice(["dress", "shoe"]), 0.75)},
    )
    kind = chance.random()
    if kind < 0.2:
        return deletion_message(f"p{number}", revision)
    if kind < 0.24:
        kept = chance.sample(["g1", "g2"], chance.randrange(3))
        return generations_message("shop", revision, *kept)
    if kind < 0.4:
        return catalog_pb2.Change(
            revision=revision, catalog="shop", product_id=f"p{number}", attributes=facts_message(facts)
        )
    spaces = chance.sample(["resnet50", "clip", "triplet"], chance.randrange(1, 4))
    photos = [
        photo(f"photo-{each}", dict.fromkeys(spaces, revision * 10 + each))
        for each in range(chance.randrange(4))
    ]
    change = written(f"p{number}", revision, *photos, attributes=facts.attributes, labels=facts.labels)
    return change_message(replace(change, generation=chance.choice(["g1", "g1", "g2"])))
