"""API keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies.base import Double, Model, Several, Timestamp


class ApiKey(Model):
    """A key, without its secret."""

    name: str | None = Field(None, description="Output only.", examples=["apiKeys/9f2c81d05b7e4a36"])
    display_name: str | None = Field(
        None, description="For people, at most 200 characters.", examples=["Storefront"]
    )
    scope: Literal["SCOPE_SEARCH", "SCOPE_WRITE", "SCOPE_ADMIN"] = Field(
        description="What it allows, which includes what lesser scopes allow."
    )
    catalogs: Several[str] | None = Field(
        None,
        max_length=100,
        description="The catalogues that it is for, at most 100; all when empty. Not with `SCOPE_ADMIN`.",
        examples=[["catalogs/demo"]],
    )
    rate_limit_per_s: Double | None = Field(
        None, description="Requests a second that it may make for long; the deployment's default when 0."
    )
    create_time: Timestamp | None = Field(None, description="Output only. When it was created.")
    expire_time: Timestamp | None = Field(None, description="When it ends; never when absent.")


class CreateApiKeyResponse(Model):
    """As created."""

    api_key: ApiKey
    secret: str = Field(
        description="What callers send as `Authorization: Bearer <secret>` or `x-api-key`, told only here."
    )


class ListApiKeysResponse(Model):
    """Keys by id."""

    api_keys: list[ApiKey]
    next_page_token: str = Field(description="Empty on the last page.")
