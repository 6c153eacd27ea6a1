from __future__ import annotations

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from services.gateway.store.mongo.queries import MongoQueryStore
from tests.gateway.query_store_suite import QueryStoreSuite


@pytest.fixture
def store(connection: MongoConnection) -> MongoQueryStore:
    return MongoQueryStore(connection)


class TestMongoQueries(QueryStoreSuite):
    pass
