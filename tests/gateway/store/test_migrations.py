from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from services.gateway.store import migrations
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import (
    Bounds,
    CatalogChange,
    CatalogRecord,
    GenerationRecord,
    ProductChange,
)
from services.gateway.store.log import ChangeLog
from services.gateway.store.sqlite import SqliteStore
from services.mesh.buckets import bucket_of
from tests.gateway.store_suite import commit
from vitrine.v1 import catalog_pb2, common_pb2, vectorsearch_pb2

SHIRT = catalog_pb2.Product(title="shirt").SerializeToString()
ROWS = catalog_pb2.ProductRows(
    generation="g1", photos=[vectorsearch_pb2.PhotoVectors(photo_id="front")]
).SerializeToString()
GENERATION = common_pb2.Generation(id="g1", spaces=[common_pb2.SpaceSpec(space="clip", model_digest="d")])


def before_generations(path: Path, *, applied: int) -> None:
    """A database as the first migration made it: two catalogues, three entries, the third one a deletion."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table, *rows in (
            ("entries", (1, 1_000, 10), (2, 2_000, 10), (3, 3_000, 10)),
            (
                "changes",
                (1, 0, "shop", "a", SHIRT, ROWS, 1),
                (1, 1, "shop", "b", SHIRT, ROWS, 1),
                (2, 0, "shop", "a", SHIRT, None, 1),
                (3, 0, "shop", "b", None, None, 0),
            ),
            ("outcomes", ("key", 1, b"done")),
            ("marks", ("applied", applied)),
            (
                "catalogs",
                ("art", GENERATION.SerializeToString(), 7),
                ("shop", GENERATION.SerializeToString(), 5),
            ),
            (
                "products",
                ("shop", "a", bucket_of("shop", "a"), 2, 2_000, 1, SHIRT),
                ("shop", "b", bucket_of("shop", "b"), 3, 3_000, 0, None),
            ),
            ("vectors", ("shop", "a", 1, ROWS), ("shop", "b", 3, b"")),
        ):
            for row in rows:
                places = ", ".join("?" * len(row))
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({places})", row)
    engine.dispose()


async def test_catalogues_of_one_generation_are_taken_over(tmp_path: Path) -> None:
    """Products, rows, tombstones and the log of an old database are what they were, now by generation."""
    before_generations(tmp_path / "catalog.db", applied=3)
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "catalog.db"))
    found = await store.products("shop", ["a", "b"], with_rows=True)
    assert list(found) == ["a"]
    assert (found["a"].revision, found["a"].rows) == (2, {"g1": ROWS})
    assert await store.covered("shop", "g1") == 1
    assert await store.outcome("key") == b"done"
    entries = await store.entries(0)
    assert [entry.changes for entry in entries[:3]] == [
        (
            ProductChange("shop", "a", SHIRT, {"g1": ROWS}, 1),
            ProductChange("shop", "b", SHIRT, {"g1": ROWS}, 1),
        ),
        (ProductChange("shop", "a", SHIRT, None, 1),),
        (ProductChange("shop", "b", None, None),),
    ]
    # The deletion still stands when an older entry is applied again.
    await store.apply(entries[0])
    assert await store.covered("shop", "g1") == 1
    await store.close()


@pytest.mark.parametrize("applied", [1, 3])
async def test_old_catalogues_come_into_the_log(tmp_path: Path, applied: int) -> None:
    """Each gets an entry at the end, so that followers hear of it, and a tail is finished before it."""
    before_generations(tmp_path / "catalog.db", applied=applied)
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "catalog.db"))
    assert await store.bounds() == Bounds(0, 5)
    assert await store.applied() == applied
    shop = CatalogRecord("shop", "g1", (GenerationRecord(GENERATION, is_ready=True),), create_time_ms=5)
    assert await store.catalog("shop") == shop.at(5)
    assert [entry.catalogs for entry in await store.entries(4)] == [(CatalogChange("shop", shop),)]
    log = ChangeLog(store, keep_entries=100)
    await log.start()
    assert log.head == 5
    assert [(each.catalog, each.revision) for each in await store.catalogs("", 10)] == [
        ("art", 4),
        ("shop", 5),
    ]
    await commit(store, catalogs=[CatalogChange("shop", None)])
    assert await store.catalog("shop") is None
    await store.close()
