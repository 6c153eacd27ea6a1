from __future__ import annotations

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from services.gateway.store.mongo.keys import MongoKeyStore
from tests.gateway.key_store_suite import KeyStoreSuite


@pytest.fixture
def store(connection: MongoConnection) -> MongoKeyStore:
    return MongoKeyStore(connection)


class TestMongoKeys(KeyStoreSuite):
    pass
