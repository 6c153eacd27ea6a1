"""The stores that a gateway is told to use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.gateway.store.database import SqliteDatabase
from services.gateway.store.file_pictures import FilePictures
from services.gateway.store.interface import Store
from services.gateway.store.keys import KeyStore
from services.gateway.store.mongo.catalog import MongoStore
from services.gateway.store.mongo.connection import MongoConnection
from services.gateway.store.mongo.keys import MongoKeyStore
from services.gateway.store.mongo.pictures import MongoPictures
from services.gateway.store.mongo.queries import MongoQueryStore
from services.gateway.store.pictures import PictureStore
from services.gateway.store.query_log import QueryStore
from services.gateway.store.sqlite import SqliteStore
from services.gateway.store.sqlite_keys import SqliteKeyStore
from services.gateway.store.sqlite_queries import SqliteQueryStore


@dataclass(frozen=True, slots=True)
class Stores:
    """All that a gateway keeps."""

    catalog: Store
    queries: QueryStore
    keys: KeyStore
    pictures: PictureStore


@asynccontextmanager
async def opened(store_url: str, data_dir: Path) -> AsyncIterator[Stores]:
    """The stores at a `mongodb://` or `mongodb+srv://` address, or in files below `data_dir` if it is empty.

    Raises Unavailable (STORE_UNAVAILABLE), InvalidArgument for an address that is none, and
    FailedPrecondition for a database that a newer release has been at.
    """
    if not store_url:
        database = await SqliteDatabase.open(data_dir / "catalog.db")
        try:
            yield Stores(
                catalog=SqliteStore(database),
                queries=SqliteQueryStore(database),
                keys=SqliteKeyStore(database),
                pictures=FilePictures(data_dir / "media"),
            )
        finally:
            await database.close()
        return
    connection = await MongoConnection.open(store_url)
    try:
        yield Stores(
            catalog=MongoStore(connection),
            queries=MongoQueryStore(connection),
            keys=MongoKeyStore(connection),
            pictures=MongoPictures(connection),
        )
    finally:
        await connection.close()
