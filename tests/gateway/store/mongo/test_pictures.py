from __future__ import annotations

import pytest

from services.gateway.store.mongo.connection import MongoConnection
from services.gateway.store.mongo.pictures import MongoPictures
from tests.gateway.picture_store_suite import PictureStoreSuite


@pytest.fixture
def pictures(connection: MongoConnection) -> MongoPictures:
    return MongoPictures(connection)


class TestMongoPictures(PictureStoreSuite):
    pass
