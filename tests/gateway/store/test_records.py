from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.store import records
from services.gateway.store.interface import CatalogRecord, GenerationRecord
from vitrine.v1 import catalog_pb2, common_pb2

GENERATIONS = st.lists(
    st.tuples(st.sampled_from(["g1", "g2", "g10"]), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[0],
)


@given(
    given_generations=GENERATIONS,
    create_time_ms=st.integers(0, 2**42),
    is_deleting=st.booleans(),
    newest=st.integers(0, 20),
)
def test_a_record_comes_back_as_it_was(
    given_generations: list[tuple[str, bool]], create_time_ms: int, is_deleting: bool, newest: int
) -> None:
    """Whichever of its generations is active, and whichever are ready."""
    made = tuple(
        GenerationRecord(
            common_pb2.Generation(
                id=generation, spaces=[common_pb2.SpaceSpec(space="clip", model_digest=generation)]
            ),
            is_ready,
        )
        for generation, is_ready in given_generations
    )
    for each in made:
        record = CatalogRecord(
            "shop", each.generation.id, made, create_time_ms, is_deleting, revision=7, newest=newest
        )
        found = records.decode("shop", records.encode(record), is_deleting=is_deleting, revision=7)
        assert found == record
        assert found.generation == each.generation


def test_an_old_record_counts_the_generations_that_it_has() -> None:
    """One without the number of the newest generation takes the highest there is, and keeps it."""
    old = catalog_pb2.Catalog()
    old.active_generation.id = "g2"
    for each in ("g2", "g10", "g9"):
        old.generations.add(generation=common_pb2.Generation(id=each))
    found = records.decode("shop", old.SerializeToString(), is_deleting=False)
    assert found.newest == 10
    fewer = replace(found, generations=found.generations[:1])
    assert records.decode("shop", records.encode(fewer), is_deleting=False).newest == 10
