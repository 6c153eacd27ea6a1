"""What the gateway can be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from redis.asyncio.connection import parse_url

from services.mesh import resolving
from services.mesh.settings import Port, ServiceSettings

MAX_SHARDS = 64
MAX_REPLICAS = 8


class GatewaySettings(ServiceSettings):
    """Settings of the gateway, from `VITRINE_GATEWAY_<KEY>` or `--key`."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_GATEWAY_")

    port: Port = Field(50051, description="gRPC port.")
    metrics_port: Port = Field(51051, description="Prometheus port; 0 turns metrics off.")
    http_host: str = Field("127.0.0.1", description="Address of the HTTP API and the page.")
    http_port: Port = Field(8080, description="Port of the HTTP API and the page.")
    data_dir: Path = Field(
        Path("~/.local/share/vitrine/gateway"), description="Where the catalogue and its pictures are kept."
    )

    store_url: SecretStr = Field(
        SecretStr(""),
        description="The MongoDB that gateways share, as a URL such as `mongodb://user:password@host/vitrine`;"
        " SQLite and files in the data directory if empty.",
    )

    embedder: str = Field("127.0.0.1:50052", description="Where the embedder is.")
    ranker: str = Field("127.0.0.1:50053", description="Where the ranker is.")
    shards: str = Field(
        "127.0.0.1:50060",
        description="Where the shards are, in order, separated by commas; replicas of a shard by `|`."
        " `dns:///name:port` stands for a replica at every address that the name has.",
    )
    next_shards: str = Field(
        "",
        description="Another complete set of shards to go over to once it holds everything; none if empty.",
    )

    embed_timeout_s: float = Field(10.0, gt=0, le=600, description="For embedding a query.")
    shard_timeout_s: float = Field(
        2.0, gt=0, le=600, description="For a shard's answer; later ones are left out."
    )
    rank_timeout_s: float = Field(
        1.0, gt=0, le=600, description="For ranking; the visual order stands in after it."
    )
    store_timeout_s: float = Field(
        1.0, gt=0, le=600, description="For the hits' metadata; ids stand in after it."
    )
    write_timeout_s: float = Field(120.0, gt=0, le=3600, description="For each stage of writing products.")

    cache_bytes: int = Field(
        64 << 20, ge=0, le=1 << 36, description="Memory for cached answers and query vectors."
    )
    cache_url: SecretStr = Field(
        SecretStr(""),
        description="The Redis that gateways share behind that memory, as a URL; none if empty.",
    )
    cache_namespace: str = Field(
        "vitrine",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Begins every name in Redis; deployments that share one need one each.",
    )
    cache_timeout_s: float = Field(
        0.05, gt=0, le=60, description="For an answer of Redis; nothing is found after it."
    )
    query_log_days: int = Field(
        30, ge=0, le=3_650, description="Days that answered searches are kept; 0 keeps none."
    )
    product_memory_bytes: int = Field(
        64 << 20, ge=0, le=1 << 36, description="Memory for the products of hits, kept while unchanged."
    )
    recent_poll_s: float = Field(
        0.1, gt=0, le=10, description="How often searches look for what other gateways have written."
    )
    max_image_bytes: int = Field(20 << 20, ge=1 << 10, le=1 << 26, description="Largest picture taken.")
    max_image_pixels: int = Field(50_000_000, ge=1 << 10, description="Most pixels of a picture.")
    fetch_timeout_s: float = Field(
        20.0, gt=0, le=300, description="Longest fetch of a product's photo by address, its turn included."
    )
    fetch_per_host_per_s: float = Field(
        20.0, ge=1, le=1000, description="Most photos asked of one host in a second."
    )
    fetch_allowed_hosts: list[str] = Field(
        [],
        max_length=256,
        description="Hosts in private networks that photos may be fetched from; `.shop.internal` for all"
        " below a domain.",
    )
    media_redirect_hosts: list[str] = Field(
        [],
        max_length=32,
        description="Hosts whose photos are not copied: people are sent there for their pictures.",
    )
    log_entries: int = Field(
        100_000, ge=100, le=10_000_000, description="Entries of the change log that are kept."
    )
    feed_heartbeat_s: float = Field(3.0, gt=0, le=60, description="A feed without news says so this often.")
    feed_poll_s: float = Field(
        0.1, gt=0, le=10, description="How often a feed looks for what other gateways have written."
    )
    role: Literal["all", "api", "feed"] = Field(
        "all", description="What this gateway serves: everything, all but the feed of shards, or that alone."
    )

    cors_origins: list[str] = Field(
        [],
        max_length=64,
        description="Origins whose pages may call the HTTP API from a browser, such as"
        " `https://shop.example`; `*` for all, none if empty.",
    )
    http_names: list[str] = Field(
        [],
        max_length=64,
        description="Names under which HTTP answers, without a port; if empty all, but an open gateway that"
        " listens on loopback only answers as localhost.",
    )
    access: Literal["open", "keys"] = Field(
        "open", description="Who may call: anybody, or who has a key or a token. See docs/security.md."
    )
    admin_key_hash: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256, in hex, of one more key, for everything: the first keys are made with it.",
    )
    jwt_keys_file: Path | None = Field(
        None,
        description="JWKS file of the public keys that tokens (JWT) are signed with; none without.",
    )
    jwt_issuer: str = Field("", description="What tokens must have as `iss`.")
    jwt_audience: str = Field("", description="What tokens must have as `aud`.")
    rate_limit_per_s: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Requests a second that a caller may make for long, twice as many at once; 0 for no"
        " limit. Where access is open, callers are told apart by their address.",
    )

    near_duplicate_cosine: float = Field(
        0.97,
        ge=0,
        le=1,
        description="Photos at least so alike are told as near duplicates when written; 0 looks for none.",
    )

    @field_validator("data_dir")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, values: list[str]) -> list[str]:
        for value in values:
            # A path or a slash at the end would never match what a browser says, and nobody would know why.
            if value != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", value):
                raise ValueError(f"{value} is no origin such as https://shop.example")
        return values

    @field_validator("store_url")
    @classmethod
    def _mongodb(cls, value: SecretStr) -> SecretStr:
        # What else may be wrong with it is found when it is opened.
        if value and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("is not a URL such as mongodb://user:password@host/vitrine")
        return value

    @field_validator("cache_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        try:
            if value.get_secret_value():
                parse_url(value.get_secret_value())
        except ValueError:
            # What is wrong with it may quote a part of the password.
            raise ValueError("is not a URL such as redis://user:password@host:6379/0") from None
        return value

    @field_validator("shards", "next_shards")
    @classmethod
    def _whole_set(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "next_shards":
            return value
        shards = _targets(value)
        named = [target for replicas in shards for target in replicas]
        if not all(named):
            raise ValueError("needs one or more targets, shards separated by commas and replicas by |")
        if len(shards) > MAX_SHARDS:
            raise ValueError(f"names {len(shards)} shards; {MAX_SHARDS} at most")
        if any(len(replicas) > MAX_REPLICAS for replicas in shards):
            raise ValueError(f"names more than {MAX_REPLICAS} replicas of a shard")
        if len(set(named)) < len(named):
            raise ValueError("names a target twice")
        for target in named:
            if resolving.is_name(target):
                resolving.parsed(target)
        return value

    @model_validator(mode="after")
    def _tokens_are_bound(self) -> Self:
        if self.jwt_keys_file and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("jwt_keys_file needs jwt_issuer and jwt_audience, or any token would do")
        return self

    @property
    def shard_targets(self) -> list[list[str]]:
        """Targets of the shards' replicas, shards in order."""
        return _targets(self.shards)

    @property
    def next_shard_targets(self) -> list[list[str]]:
        """The same of the set to go over to; empty when there is none."""
        return _targets(self.next_shards) if self.next_shards else []


def _targets(value: str) -> list[list[str]]:
    return [[target.strip() for target in shard.split("|")] for shard in value.split(",")]
