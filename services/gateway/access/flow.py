"""Makes, lists and deletes API keys."""

from __future__ import annotations

import math
import time

from google.protobuf import timestamp_pb2

from services.gateway import paging
from services.gateway.access import key_text
from services.gateway.access.key_ring import KeyRing
from services.gateway.store.keys import KeyRecord, KeyStore
from services.mesh import names
from services.mesh.errors import InvalidArgument, NotFound, ResourceExhausted
from vitrine.v1 import access_pb2

MAX_KEYS = 1_000
MAX_DISPLAY_CHARACTERS = 200
MAX_CATALOGS = 100
MAX_RATE_PER_S = 1_000_000.0
MAX_PAGE = 1_000
DEFAULT_PAGE = 100

_PARENT = "apiKeys"


class AccessFlow:
    """Answers `AccessService` from a store of keys. `ring` forgets the keys that are deleted here."""

    def __init__(self, store: KeyStore, ring: KeyRing) -> None:
        self._store = store
        self._ring = ring

    async def create_api_key(
        self, request: access_pb2.CreateApiKeyRequest
    ) -> access_pb2.CreateApiKeyResponse:
        """As the RPC CreateApiKey."""
        key = _checked(request.api_key)
        # Two at once may both be the last one that is allowed, which harms nobody.
        if await self._store.count() >= MAX_KEYS:
            raise ResourceExhausted(f"there are {MAX_KEYS} keys already", reason="TOO_MANY_KEYS")
        made = key_text.new_key()
        key.name = names.key_name(made.key_id)
        key.create_time.GetCurrentTime()
        await self._store.add(KeyRecord(made.key_id, made.fingerprint, key))
        return access_pb2.CreateApiKeyResponse(api_key=key, secret=made.text)

    async def list_api_keys(self, request: access_pb2.ListApiKeysRequest) -> access_pb2.ListApiKeysResponse:
        """As the RPC ListApiKeys."""
        size = paging.page_size(request.page_size, default=DEFAULT_PAGE, most=MAX_PAGE)
        after = paging.decode_after(_PARENT, request.page_token)
        records = await self._store.list(after, size + 1)
        page = records[:size]
        token = paging.encode_after(_PARENT, page[-1].key_id) if len(records) > size else ""
        return access_pb2.ListApiKeysResponse(api_keys=[record.key for record in page], next_page_token=token)

    async def delete_api_key(
        self, request: access_pb2.DeleteApiKeyRequest
    ) -> access_pb2.DeleteApiKeyResponse:
        """As the RPC DeleteApiKey."""
        key_id = names.parse_key(request.name, "name")
        existed = await self._store.delete(key_id)
        self._ring.forget(key_id)
        if not existed:
            raise NotFound(f"there is no {request.name}")
        return access_pb2.DeleteApiKeyResponse()


def _checked(key: access_pb2.ApiKey) -> access_pb2.ApiKey:
    """What may be chosen of a key; raises InvalidArgument."""
    if len(key.display_name) > MAX_DISPLAY_CHARACTERS:
        raise InvalidArgument("api_key.display_name", f"at most {MAX_DISPLAY_CHARACTERS} characters")
    if key.scope not in (access_pb2.SCOPE_SEARCH, access_pb2.SCOPE_WRITE, access_pb2.SCOPE_ADMIN):
        raise InvalidArgument("api_key.scope", "must be SCOPE_SEARCH, SCOPE_WRITE or SCOPE_ADMIN")
    if len(key.catalogs) > MAX_CATALOGS:
        raise InvalidArgument("api_key.catalogs", f"at most {MAX_CATALOGS}")
    for index, name in enumerate(key.catalogs):
        names.parse_catalog(name, f"api_key.catalogs[{index}]")
    if key.catalogs and key.scope == access_pb2.SCOPE_ADMIN:
        raise InvalidArgument("api_key.catalogs", "a key of SCOPE_ADMIN is for all catalogues")
    rate_per_s = key.rate_limit_per_s
    if not math.isfinite(rate_per_s) or not 0 <= rate_per_s <= MAX_RATE_PER_S:
        raise InvalidArgument("api_key.rate_limit_per_s", f"must be 0 to {MAX_RATE_PER_S:g}")
    return access_pb2.ApiKey(
        display_name=key.display_name,
        scope=key.scope,
        catalogs=sorted(set(key.catalogs)),
        rate_limit_per_s=rate_per_s,
        expire_time=_checked_end(key),
    )


def _checked_end(key: access_pb2.ApiKey) -> timestamp_pb2.Timestamp | None:
    if not key.HasField("expire_time"):
        return None
    end = key.expire_time
    try:
        end.ToJsonString()
    except ValueError as error:
        raise InvalidArgument("api_key.expire_time", "is no time") from error
    if end.seconds <= time.time():
        raise InvalidArgument("api_key.expire_time", "has passed")
    return end
