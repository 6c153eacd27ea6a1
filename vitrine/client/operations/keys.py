"""API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.mesh import names
from services.mesh.errors import InvalidArgument
from vitrine.client import keys
from vitrine.client.keys import ApiKey, CreatedKey, Scope
from vitrine.client.moments import timestamp
from vitrine.client.operations.operation import Operation, Page, Timeouts, catalog_name
from vitrine.v1 import access_pb2

_PAGE_SIZE = 100


def create_api_key(
    _own: str,
    timeouts: Timeouts,
    /,
    display_name: str,
    scope: Scope,
    *,
    catalogs: Sequence[str] = (),
    rate_limit_per_s: float = 0.0,
    expires: datetime | None = None,
) -> Operation[access_pb2.CreateApiKeyResponse, CreatedKey]:
    """Create a key, for some catalogues by their ids or for all; its secret is in the answer alone.

    A rate limit of 0 is the deployment's; a key without `expires` never ends.
    """
    if scope not in keys.SCOPES:
        raise InvalidArgument("scope", f"is one of {', '.join(keys.SCOPES)}")
    key = access_pb2.ApiKey(
        display_name=display_name,
        scope=keys.SCOPES[scope],
        catalogs=[catalog_name(catalog) for catalog in catalogs],
        rate_limit_per_s=rate_limit_per_s,
        expire_time=timestamp(expires, "expires"),
    )
    return Operation(
        "/vitrine.v1.AccessService/CreateApiKey",
        access_pb2.CreateApiKeyRequest(api_key=key),
        access_pb2.CreateApiKeyResponse,
        timeouts.read_s,
        lambda response, _: CreatedKey(keys.key_of(response.api_key), response.secret),
    )


def list_api_keys(
    _own: str, timeouts: Timeouts, page_token: str, /
) -> Operation[access_pb2.ListApiKeysResponse, Page[ApiKey]]:
    """All keys by id, without their secrets."""
    return Operation(
        "/vitrine.v1.AccessService/ListApiKeys",
        access_pb2.ListApiKeysRequest(page_size=_PAGE_SIZE, page_token=page_token),
        access_pb2.ListApiKeysResponse,
        timeouts.read_s,
        lambda response, _: Page([keys.key_of(key) for key in response.api_keys], response.next_page_token),
    )


def delete_api_key(
    _own: str, timeouts: Timeouts, /, key_id: str
) -> Operation[access_pb2.DeleteApiKeyResponse, None]:
    """Delete a key; every gateway refuses it within 10 s."""
    name = names.key_name(key_id)
    names.parse_key(name, "key")
    return Operation(
        "/vitrine.v1.AccessService/DeleteApiKey",
        access_pb2.DeleteApiKeyRequest(name=name),
        access_pb2.DeleteApiKeyResponse,
        timeouts.read_s,
        lambda *_: None,
    )
