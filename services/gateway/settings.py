"""What the gateway can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

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

    embedder: str = Field("127.0.0.1:50052", description="Where the embedder is.")
    ranker: str = Field("127.0.0.1:50053", description="Where the ranker is.")
    shards: str = Field(
        "127.0.0.1:50060",
        description="Where the shards are, in order, separated by commas; replicas of a shard by `|`.",
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
    max_image_bytes: int = Field(20 << 20, ge=1 << 10, le=1 << 26, description="Largest picture taken.")
    log_entries: int = Field(
        100_000, ge=100, le=10_000_000, description="Entries of the change log that are kept."
    )
    feed_heartbeat_s: float = Field(3.0, gt=0, le=60, description="A feed without news says so this often.")

    @field_validator("data_dir")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser()

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
        return value

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
