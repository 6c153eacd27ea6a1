from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from tests.engines.mongo.engine import MongoEngine
from tests.gateway.store.mongo.emptying import emptied

_numbers = itertools.count()


@pytest.fixture(scope="session")
def mongo_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoEngine]:
    """A MongoDB engine that all tests share: none may stop it."""
    with MongoEngine(tmp_path_factory.mktemp("mongo")) as engine:
        yield engine


@pytest.fixture
def mongo_url(mongo_engine: MongoEngine) -> str:
    """The address of a database that is new to each test."""
    return mongo_engine.url(f"test{next(_numbers)}", is_patient=True)


@pytest.fixture
async def connection(mongo_engine: MongoEngine) -> AsyncIterator[MongoConnection]:
    """A connection to a database in which nothing is but its schema."""
    made = await MongoConnection.open(mongo_engine.url("emptied", is_patient=True))
    await emptied(made)
    yield made
    await made.close()
