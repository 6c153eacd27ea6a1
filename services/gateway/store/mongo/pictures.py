"""Pictures in MongoDB, for gateways that have no disk in common."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from services.gateway.store.mongo.connection import Collection, Connected, MongoConnection, reaching


class MongoPictures(Connected):
    """A `PictureStore`. A picture is some ten KB, far below the 16 MB of a document."""

    def __init__(self, connection: MongoConnection) -> None:
        super().__init__(connection)
        self._pictures: Collection = connection.database.pictures

    @reaching
    async def put(self, file: str, data: bytes) -> None:
        """See PictureStore."""
        try:
            await self._pictures.insert_one({"_id": file, "data": data})
        except DuplicateKeyError:
            # The name is that of the content.
            return

    @reaching
    async def get(self, file: str) -> bytes | None:
        """See PictureStore."""
        found = await self._pictures.find_one({"_id": file})
        return found["data"] if found else None
