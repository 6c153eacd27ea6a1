"""The collections of a MongoDB database and their indexes, and how a database is brought to the newest form.

`log`         one document an entry, `_id` is its revision; the one at the head is never removed.
`marks`       `applied`: the projections reach this revision. `floor`: the log begins after it.
`products`    `_id` is "catalogue product": a product, its rows by generation, and as `covers` the names of
              these generations. A tombstone is `is_dead` and has its revision and time alone.
`catalogs`    `_id` is the catalogue; tombstones as of products.
`leases`      `_id` is the name of the job.
`queries`     `_id` is "catalogue query"; a query with its feedback.
`api_keys`    `_id` is the key's id.
`pictures`    `_id` is the file.
`schema`      one document: the version.

A space comes before every character of an id, so that "catalogue product" is in the order of the pair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from services.mesh.errors import FailedPrecondition

Database = AsyncDatabase[dict[str, Any]]

SEPARATOR = " "
_AFTER_SEPARATOR = "!"


def joined(catalog: str, name: str) -> str:
    """The key of what has a name within a catalogue."""
    return f"{catalog}{SEPARATOR}{name}"


def parted(key: str) -> tuple[str, str]:
    """Catalogue and name of such a key."""
    catalog, _, name = key.partition(SEPARATOR)
    return catalog, name


def of_catalog(catalog: str, after: str = "") -> dict[str, str]:
    """The keys within a catalogue, after a name, as a condition on `_id`."""
    return {"$gt": joined(catalog, after), "$lt": f"{catalog}{_AFTER_SEPARATOR}"}


async def migrate(database: Database) -> None:
    """Bring a database, new or old, to the newest schema; harmless when several processes do it at once.

    Raises FailedPrecondition when it is of a newer one than this release knows.
    """
    found = await database.schema.find_one({"_id": "schema"})
    version = found["version"] if found else 0
    if version > len(_MIGRATIONS):
        raise FailedPrecondition(
            f"the store is of schema {version}, this release knows {len(_MIGRATIONS)}: use a newer release",
            reason="STORE_TOO_NEW",
        )
    for reached, migration in enumerate(_MIGRATIONS[version:], version + 1):
        await migration(database)
        await database.schema.update_one({"_id": "schema"}, {"$max": {"version": reached}}, upsert=True)


async def _first(database: Database) -> None:
    await database.log.create_indexes(
        [IndexModel([("outcomes.key", ASCENDING)], name="outcomes", sparse=True)]
    )
    await database.products.create_indexes(
        [
            # A scan goes by key, and looks into the products of its buckets alone.
            IndexModel([("_id", ASCENDING), ("bucket", ASCENDING)], name="scanned"),
            # What is counted, and what lacks a generation, is told without a look into any other product.
            IndexModel(
                [
                    ("catalog", ASCENDING),
                    ("covers", ASCENDING),
                    ("_id", ASCENDING),
                    ("photo_count", ASCENDING),
                ],
                name="covered",
                partialFilterExpression={"catalog": {"$exists": True}},
            ),
            IndexModel(
                [("is_flagged", ASCENDING), ("_id", ASCENDING)],
                name="flagged",
                partialFilterExpression={"is_flagged": True},
            ),
            IndexModel([("revision", ASCENDING)], name="dead", partialFilterExpression={"is_dead": True}),
        ]
    )
    await database.queries.create_indexes(
        [
            IndexModel(
                [("catalog", ASCENDING), ("time_ms", DESCENDING), ("query_id", ASCENDING)], name="newest"
            ),
            IndexModel([("time_ms", ASCENDING)], name="oldest"),
        ]
    )


# Forward only, and each harmless when done again: a process may end between one and its mark.
_MIGRATIONS: tuple[Callable[[Database], Awaitable[None]], ...] = (_first,)
