from __future__ import annotations

import hashlib
import math
import time

import pytest

from services.gateway.access import flow as flows
from services.gateway.access.flow import AccessFlow
from services.gateway.access.key_ring import KeyRing
from services.mesh.errors import InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from tests.gateway.access.keyed import SECRET_CHARACTERS
from tests.gateway.access.stores import FakeKeyStore
from vitrine.v1 import access_pb2

SEARCH = access_pb2.SCOPE_SEARCH


@pytest.fixture
def store() -> FakeKeyStore:
    return FakeKeyStore()


@pytest.fixture
def ring(store: FakeKeyStore) -> KeyRing:
    return KeyRing(store, timeout_s=60)


@pytest.fixture
def flow(store: FakeKeyStore, ring: KeyRing) -> AccessFlow:
    return AccessFlow(store, ring)


async def created(flow: AccessFlow, key: access_pb2.ApiKey) -> access_pb2.CreateApiKeyResponse:
    return await flow.create_api_key(access_pb2.CreateApiKeyRequest(api_key=key))


async def test_a_key_is_made(flow: AccessFlow, store: FakeKeyStore, ring: KeyRing) -> None:
    """A new key has the fields asked for and a name of its own, and its secret is good at once."""
    before_s = int(time.time())
    asked = access_pb2.ApiKey(
        name="apiKeys/mine", display_name="shop", scope=SEARCH, catalogs=["catalogs/b", "catalogs/a"]
    )
    response = await created(flow, asked)
    key = response.api_key
    assert (key.display_name, key.scope, list(key.catalogs)) == ("shop", SEARCH, ["catalogs/a", "catalogs/b"])
    assert key.create_time.seconds >= before_s
    assert key.name != "apiKeys/mine"
    key_id = key.name.removeprefix("apiKeys/")
    caller = await ring.caller(key_id, hashlib.sha256(response.secret.encode()).digest())
    assert caller.catalogs == {"a", "b"}


async def test_a_secret_is_kept_nowhere(flow: AccessFlow, store: FakeKeyStore) -> None:
    """What the store gets of a key is its hash, and no part of its secret."""
    secret = (await created(flow, access_pb2.ApiKey(scope=SEARCH))).secret
    (record,) = store.records.values()
    kept = record.secret_hash + record.key.SerializeToString()
    assert secret[-SECRET_CHARACTERS:].encode() not in kept
    assert record.secret_hash == hashlib.sha256(secret.encode()).digest()


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (access_pb2.ApiKey(), "api_key.scope"),
        (access_pb2.ApiKey(scope=9), "api_key.scope"),  # type: ignore[arg-type]  # a caller may send it
        (access_pb2.ApiKey(scope=SEARCH, display_name="n" * 201), "api_key.display_name"),
        (access_pb2.ApiKey(scope=SEARCH, catalogs=["shop"]), "api_key.catalogs[0]"),
        (access_pb2.ApiKey(scope=SEARCH, catalogs=["catalogs/a"] * 101), "api_key.catalogs"),
        (access_pb2.ApiKey(scope=access_pb2.SCOPE_ADMIN, catalogs=["catalogs/a"]), "api_key.catalogs"),
        (access_pb2.ApiKey(scope=SEARCH, rate_limit_per_s=-1), "api_key.rate_limit_per_s"),
        (access_pb2.ApiKey(scope=SEARCH, rate_limit_per_s=math.nan), "api_key.rate_limit_per_s"),
        (access_pb2.ApiKey(scope=SEARCH, rate_limit_per_s=math.inf), "api_key.rate_limit_per_s"),
    ],
)
async def test_a_wrong_field_is_named(flow: AccessFlow, key: access_pb2.ApiKey, field: str) -> None:
    """A key that cannot be is refused with the field at fault, and nothing is kept."""
    with pytest.raises(InvalidArgument) as refused:
        await created(flow, key)
    assert refused.value.field == field
    assert (await flow.list_api_keys(access_pb2.ListApiKeysRequest())).api_keys == []


@pytest.mark.parametrize("seconds", [0, 1, -(10**12), 10**15])
async def test_an_end_lies_ahead(flow: AccessFlow, seconds: int) -> None:
    """A key that would have ended already, or at no time there is, is refused."""
    key = access_pb2.ApiKey(scope=SEARCH)
    key.expire_time.seconds = seconds
    with pytest.raises(InvalidArgument) as refused:
        await created(flow, key)
    assert refused.value.field == "api_key.expire_time"


async def test_the_number_of_keys_is_bounded(
    flow: AccessFlow, store: FakeKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key more than MAX_KEYS is refused."""
    monkeypatch.setattr(flows, "MAX_KEYS", 2)
    for _ in range(2):
        await created(flow, access_pb2.ApiKey(scope=SEARCH))
    with pytest.raises(ResourceExhausted):
        await created(flow, access_pb2.ApiKey(scope=SEARCH))


async def test_keys_are_listed_page_by_page(flow: AccessFlow) -> None:
    """Pages hold every key once, by id, the last one has no token, and no page has a secret."""
    made = [await created(flow, access_pb2.ApiKey(scope=SEARCH)) for _ in range(5)]
    found: list[str] = []
    token = ""
    for _ in range(3):
        page = await flow.list_api_keys(access_pb2.ListApiKeysRequest(page_size=2, page_token=token))
        found += [key.name for key in page.api_keys]
        token = page.next_page_token
        assert not any(response.secret in str(page) for response in made)
    assert token == ""
    assert found == sorted(response.api_key.name for response in made)


async def test_a_page_has_limits(flow: AccessFlow) -> None:
    """A size that is too large and a token of something else name their fields."""
    with pytest.raises(InvalidArgument, match="page_size"):
        await flow.list_api_keys(access_pb2.ListApiKeysRequest(page_size=1_001))
    with pytest.raises(InvalidArgument, match="page_token"):
        await flow.list_api_keys(access_pb2.ListApiKeysRequest(page_token="mine"))


async def test_a_deleted_key_is_refused_at_once(flow: AccessFlow, ring: KeyRing) -> None:
    """The gateway that deletes a key lets nobody in with it from then on, and finds it no more."""
    response = await created(flow, access_pb2.ApiKey(scope=SEARCH))
    key_id = response.api_key.name.removeprefix("apiKeys/")
    fingerprint = hashlib.sha256(response.secret.encode()).digest()
    await ring.caller(key_id, fingerprint)
    await flow.delete_api_key(access_pb2.DeleteApiKeyRequest(name=response.api_key.name))
    with pytest.raises(Unauthenticated):
        await ring.caller(key_id, fingerprint)
    with pytest.raises(NotFound):
        await flow.delete_api_key(access_pb2.DeleteApiKeyRequest(name=response.api_key.name))


async def test_deleting_needs_a_name(flow: AccessFlow) -> None:
    """What is no key's name is refused with its field."""
    with pytest.raises(InvalidArgument, match="name"):
        await flow.delete_api_key(access_pb2.DeleteApiKeyRequest(name="catalogs/shop"))
