from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.gateway.store.mongo.catalog import MongoStore
from services.gateway.store.opening import opened
from services.gateway.store.sqlite import SqliteStore
from services.mesh.errors import Unavailable
from tests.gateway.store_suite import commit, contents, written


async def test_without_an_address_everything_is_below_the_data_directory(tmp_path: Path) -> None:
    """An empty address means SQLite and files, which are there when it is opened again."""
    for count in (1, 2):
        async with opened("", tmp_path) as stores:
            assert isinstance(stores.catalog, SqliteStore)
            await commit(stores.catalog, written(f"p{count}"))
            await stores.pictures.put("1.webp", b"picture")
            assert len(await contents(stores.catalog)) == count
            assert await stores.keys.count() == 0
    assert {"catalog.db", "media"} <= set(await asyncio.to_thread(os.listdir, tmp_path))


async def test_an_address_of_mongodb_means_all_of_it(tmp_path: Path, mongo_url: str) -> None:
    """Nothing is kept on the disk of a gateway whose store is MongoDB."""
    for count in (1, 2):
        async with opened(mongo_url, tmp_path) as stores:
            assert isinstance(stores.catalog, MongoStore)
            await commit(stores.catalog, written(f"p{count}"))
            await stores.pictures.put("1.webp", b"picture")
            assert len(await contents(stores.catalog)) == count
            assert await stores.pictures.get("1.webp") == b"picture"
            assert await stores.keys.count() == 0
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_nothing_stays_open_when_the_body_fails(tmp_path: Path, mongo_url: str) -> None:
    """An error inside closes the stores and goes on as it is."""
    for url in ("", mongo_url):
        with pytest.raises(Unavailable, match="away"):
            async with opened(url, tmp_path):
                raise Unavailable("away")
