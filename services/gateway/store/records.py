"""Records of catalogues as bytes, the same in every store.

They are serialised Catalogs, of which the states of generations tell whether these are ready,
`active_generation` has an id alone, and `revision` is the number of the newest generation. It is 0 in records
from before that was counted.
"""

from __future__ import annotations

from services.gateway.store.interface import CatalogRecord, GenerationRecord
from vitrine.v1 import catalog_pb2


def encode(record: CatalogRecord) -> bytes:
    """A record as bytes, without its id and revision and without whether it is being deleted."""
    message = catalog_pb2.Catalog()
    message.active_generation.id = record.active
    message.create_time.FromMilliseconds(record.create_time_ms)
    message.revision = record.newest
    for each in record.generations:
        message.generations.add(
            generation=each.generation,
            state=catalog_pb2.GENERATION_STATE_READY
            if each.is_ready
            else catalog_pb2.GENERATION_STATE_BUILDING,
        )
    return message.SerializeToString(deterministic=True)


def decode(catalog: str, data: bytes, *, is_deleting: bool, revision: int = 0) -> CatalogRecord:
    """The record that `encode` made these bytes of."""
    message = catalog_pb2.Catalog.FromString(data)
    return CatalogRecord(
        catalog=catalog,
        active=message.active_generation.id,
        generations=tuple(
            GenerationRecord(each.generation, each.state == catalog_pb2.GENERATION_STATE_READY)
            for each in message.generations
        ),
        create_time_ms=message.create_time.ToMilliseconds(),
        is_deleting=is_deleting,
        revision=revision,
        newest=message.revision,
    )
