"""Databases that are as new, which are there at once: to make the indexes of a new one takes long."""

from __future__ import annotations

from services.gateway.store.mongo.connection import MongoConnection


async def emptied(connection: MongoConnection) -> None:
    """Remove all that is in a database but its schema."""
    for name in await connection.database.list_collection_names():
        if name != "schema":
            await connection.database[name].delete_many({})
