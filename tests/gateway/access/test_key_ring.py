from __future__ import annotations

import asyncio
import time

import pytest

from services.gateway.access import key_ring, key_text
from services.gateway.access.key_ring import FRESH_S, KEPT_S, KeyRing
from services.gateway.access.key_text import NewKey
from services.mesh.errors import Unauthenticated, Unavailable
from tests.gateway.access.stores import Clock, FakeKeyStore
from vitrine.v1 import access_pb2


@pytest.fixture
def store() -> FakeKeyStore:
    return FakeKeyStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(store: FakeKeyStore, clock: Clock) -> KeyRing:
    return KeyRing(store, timeout_s=60, clock=clock)


async def is_good(ring: KeyRing, key: NewKey) -> bool:
    try:
        await ring.caller(key.key_id, key.fingerprint)
    except Unauthenticated:
        return False
    return True


async def test_a_key_says_who_calls(ring: KeyRing, store: FakeKeyStore) -> None:
    """The caller has the id, scope, catalogues and limit of the key."""
    key = store.made(
        access_pb2.ApiKey(scope=access_pb2.SCOPE_WRITE, catalogs=["catalogs/shop"], rate_limit_per_s=5)
    )
    caller = await ring.caller(key.key_id, key.fingerprint)
    assert caller.id == f"apiKeys/{key.key_id}"
    assert caller.scope == access_pb2.SCOPE_WRITE
    assert caller.catalogs == {"shop"}
    assert caller.rate_limit_per_s == 5


async def test_another_secret_is_refused(ring: KeyRing, store: FakeKeyStore) -> None:
    """Who knows the id of a key and not its secret is Unauthenticated."""
    key = store.made()
    with pytest.raises(Unauthenticated):
        await ring.caller(key.key_id, key_text.fingerprint("guessed"))


async def test_the_store_is_asked_once_in_a_while(ring: KeyRing, store: FakeKeyStore, clock: Clock) -> None:
    """A key is remembered for FRESH_S, and so is that there is none."""
    key, other = store.made(), key_text.new_key()
    for _ in range(3):
        assert await is_good(ring, key)
        assert not await is_good(ring, other)
    assert store.reads == 2
    clock.now_s += FRESH_S
    assert await is_good(ring, key)
    assert not await is_good(ring, other)
    assert store.reads == 4


async def test_many_at_once_ask_the_store_once(ring: KeyRing, store: FakeKeyStore) -> None:
    """Requests with the same key that come together share one look into the store."""
    key = store.made()
    assert all(await asyncio.gather(*(is_good(ring, key) for _ in range(20))))
    assert store.reads == 1


async def test_a_deleted_key_dies_within_ten_seconds(
    ring: KeyRing, store: FakeKeyStore, clock: Clock
) -> None:
    """A key that another gateway deleted is refused after FRESH_S at the latest."""
    key = store.made()
    assert await is_good(ring, key)
    store.records.clear()
    clock.now_s += FRESH_S
    assert not await is_good(ring, key)
    assert FRESH_S <= 10


async def test_a_key_that_is_deleted_here_dies_at_once(ring: KeyRing, store: FakeKeyStore) -> None:
    """The gateway that deleted a key refuses it from then on."""
    key = store.made()
    assert await is_good(ring, key)
    store.records.clear()
    ring.forget(key.key_id)
    assert not await is_good(ring, key)


async def test_a_key_ends_at_its_time(
    ring: KeyRing, store: FakeKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired key is refused although it is remembered."""
    key = access_pb2.ApiKey(scope=access_pb2.SCOPE_SEARCH)
    now_s = time.time()
    key.expire_time.FromMilliseconds(int((now_s + 3600) * 1e3))
    made = store.made(key)
    assert await is_good(ring, made)
    monkeypatch.setattr(time, "time", lambda: now_s + 3601)
    assert not await is_good(ring, made)


async def test_known_keys_outlast_the_store(ring: KeyRing, store: FakeKeyStore, clock: Clock) -> None:
    """While the store is away known keys work for KEPT_S, and others are Unavailable, not wrong."""
    known, unknown = store.made(), store.made()
    assert await is_good(ring, known)
    store.is_away = True
    clock.now_s += KEPT_S
    assert await is_good(ring, known)
    with pytest.raises(Unavailable):
        await is_good(ring, unknown)
    clock.now_s += 1
    with pytest.raises(Unavailable):
        await is_good(ring, known)


async def test_a_store_that_hangs_is_away(clock: Clock) -> None:
    """A store that does not answer in time makes a key Unavailable."""

    class Hanging(FakeKeyStore):
        async def get(self, key_id: str) -> None:
            await asyncio.Event().wait()

    ring = KeyRing(Hanging(), timeout_s=0.01, clock=clock)
    with pytest.raises(Unavailable):
        await is_good(ring, key_text.new_key())


async def test_what_is_remembered_is_bounded(
    ring: KeyRing, store: FakeKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who tries keys without end neither fills the memory nor pushes out those that are in use."""
    monkeypatch.setattr(key_ring, "MAX_UNKNOWN", 10)
    key = store.made()
    assert await is_good(ring, key)
    for _ in range(50):
        assert not await is_good(ring, key_text.new_key())
    assert len(ring._unknown) == 10
    reads = store.reads
    assert await is_good(ring, key)
    assert store.reads == reads
