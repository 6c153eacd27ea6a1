from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from tests.engines.mongo.engine import MongoEngine

_numbers = itertools.count()


@pytest.fixture(scope="session")
def mongo_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoEngine]:
    """A MongoDB engine that all tests share: none may stop it."""
    with MongoEngine(tmp_path_factory.mktemp("mongo")) as engine:
        yield engine


@pytest.fixture
def mongo_url(mongo_engine: MongoEngine) -> str:
    """The address of a database that is new to each test."""
    return mongo_engine.url(f"test{next(_numbers)}")


@pytest.fixture
async def connection(mongo_url: str) -> AsyncIterator[MongoConnection]:
    """A connection to it."""
    made = await MongoConnection.open(mongo_url)
    yield made
    await made.close()
