"""What every store of keys must do. A test module subclasses `KeyStoreSuite` and gives it `store`."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from services.gateway.store.keys import KeyRecord, KeyStore
from services.mesh.errors import AlreadyExists
from vitrine.v1 import access_pb2


def record(key_id: str, *, display_name: str = "shop", catalogs: tuple[str, ...] = ()) -> KeyRecord:
    key = access_pb2.ApiKey(
        name=f"apiKeys/{key_id}",
        display_name=display_name,
        scope=access_pb2.SCOPE_WRITE,
        catalogs=catalogs,
        rate_limit_per_s=2.5,
    )
    key.create_time.FromMilliseconds(1_234_567)
    return KeyRecord(key_id, hashlib.sha256(key_id.encode()).digest(), key)


class KeyStoreSuite:
    async def test_a_key_comes_back_as_it_was(self, store: KeyStore) -> None:
        """A key is kept with every field, its hash byte for byte."""
        kept = record("a" * 16, display_name="Straße \x00 🙂", catalogs=("catalogs/shop", "catalogs/b"))
        await store.add(kept)
        assert await store.get("a" * 16) == kept

    async def test_an_unknown_key_is_none(self, store: KeyStore) -> None:
        """A key that was never made is none, also while others are there."""
        await store.add(record("a" * 16))
        assert await store.get("b" * 16) is None

    async def test_an_id_is_given_once(self, store: KeyStore) -> None:
        """A second key of the same id is refused, and the first stays as it is."""
        first = record("a" * 16, display_name="first")
        await store.add(first)
        with pytest.raises(AlreadyExists):
            await store.add(record("a" * 16, display_name="second"))
        assert await store.get("a" * 16) == first

    async def test_of_many_at_once_one_gets_the_id(self, store: KeyStore) -> None:
        """Of keys of one id that are added at the same time exactly one is kept."""
        outcomes = await asyncio.gather(
            *(store.add(record("a" * 16, display_name=str(number))) for number in range(8)),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert await store.count() == 1

    async def test_keys_are_listed_by_id(self, store: KeyStore) -> None:
        """Pages hold all keys by id, each once, and end after the last."""
        ids = [f"{number:016x}" for number in (9, 2, 255, 16, 10)]
        for key_id in ids:
            await store.add(record(key_id))
        found: list[str] = []
        after = ""
        while page := await store.list(after, 2):
            assert len(page) <= 2
            found += [each.key_id for each in page]
            after = page[-1].key_id
        assert found == sorted(ids)

    async def test_a_list_holds_whole_keys(self, store: KeyStore) -> None:
        """A listed key is the same as one that is read by its id."""
        kept = record("a" * 16, catalogs=("catalogs/shop",))
        await store.add(kept)
        assert list(await store.list("", 10)) == [kept]

    async def test_a_deleted_key_is_gone(self, store: KeyStore) -> None:
        """A deleted key is not found, listed or counted any more, and others stay."""
        for key_id in ("a" * 16, "b" * 16):
            await store.add(record(key_id))
        assert await store.count() == 2
        assert await store.delete("a" * 16)
        assert await store.get("a" * 16) is None
        assert [each.key_id for each in await store.list("", 10)] == ["b" * 16]
        assert await store.count() == 1

    async def test_deleting_tells_whether_there_was_one(self, store: KeyStore) -> None:
        """Of two deletions of one key the second finds none."""
        await store.add(record("a" * 16))
        assert await store.delete("a" * 16)
        assert not await store.delete("a" * 16)
