"""What every `PictureStore` does; a test module subclasses the suite and gives it a store."""

from __future__ import annotations

import asyncio
import hashlib

from services.gateway.store.pictures import PictureStore

FILE = hashlib.sha256(b"1").hexdigest() + ".webp"
OTHER = hashlib.sha256(b"2").hexdigest() + ".uri"


class PictureStoreSuite:
    async def test_what_was_put_is_there(self, pictures: PictureStore) -> None:
        """A picture comes back byte by byte under its own name only."""
        data = bytes(range(256)) * 400
        await pictures.put(FILE, data)
        assert await pictures.get(FILE) == data
        assert await pictures.get(OTHER) is None

    async def test_putting_again_changes_nothing(self, pictures: PictureStore) -> None:
        """The first one stays: a name stands for a content."""
        await pictures.put(FILE, b"first")
        await pictures.put(FILE, b"second")
        assert await pictures.get(FILE) == b"first"

    async def test_many_put_the_same_at_once(self, pictures: PictureStore) -> None:
        """Gateways that keep the same picture at the same time do not disturb each other."""
        await asyncio.gather(*(pictures.put(FILE, b"same") for _ in range(16)))
        assert await pictures.get(FILE) == b"same"

    async def test_pictures_may_be_empty(self, pictures: PictureStore) -> None:
        """Nothing is not the same as none."""
        await pictures.put(FILE, b"")
        assert await pictures.get(FILE) == b""

    async def test_other_names_have_no_picture(self, pictures: PictureStore) -> None:
        """A name that no picture has gives none, whatever it may mean elsewhere."""
        for name in ("", ".", "..", "../catalog.db", "a/b.webp", "x" * 300, "\0.webp", "$where"):
            assert await pictures.get(name) is None
