"""What a shard can be told (`VITRINE_VECTORSEARCH_<KEY>`)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.mesh.buckets import BUCKETS
from services.mesh.settings import Port, ServiceSettings
from services.vectorsearch.indexes.devices import gpu_count
from services.vectorsearch.indexes.kinds import Kinds


class Settings(ServiceSettings):
    """Settings of one shard. Shard i of a machine listens on ports 50060 + i and 51060 + i by convention."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_VECTORSEARCH_")

    port: Port = Field(50060, description="gRPC port.")
    metrics_port: Port = Field(51060, description="Prometheus port; 0 turns metrics off.")
    shard: int = Field(0, ge=0, lt=BUCKETS, description="Which shard this is, from 0.")
    shards: int = Field(1, ge=1, le=BUCKETS, description="Of how many.")
    feed_target: str = Field("127.0.0.1:50051", description="Where the change feed is served: the gateway.")
    feed_key: SecretStr = Field(
        SecretStr(""),
        description="API key of the scope `admin` for the feed, where the gateway asks for one.",
    )
    feed_backoff_max_s: float = Field(
        5.0, gt=0, le=300, description="Longest wait before a lost feed is tried again."
    )
    data_dir: Path = Field(Path("var/vectorsearch"), description="Where snapshots and the journal are kept.")
    search_threads: int = Field(
        2, ge=1, le=256, description="Threads that share the work of a batch of searches."
    )
    max_queued_searches: int = Field(
        1_024, ge=1, le=100_000, description="Searches admitted and not yet answered; more are refused."
    )
    max_queued_bytes: int = Field(
        256 << 20, ge=1 << 20, le=1 << 36, description="Bytes of those searches; more are refused."
    )
    index_kinds: str = Field(
        "auto",
        description="How spaces are searched: `auto`, one kind for all, or `clip=hnsw,resnet50=sq8` with"
        " `auto` for the rest. Exact: flat, flat16, sq8. Approximate: ivf, hnsw, gpu_flat, gpu_ivf.",
    )
    auto_flat_rows: int = Field(
        1_000_000, ge=0, le=1 << 40, description="Up to so many rows `auto` searches exactly."
    )
    gpu_temp_mib: int = Field(256, ge=16, le=1 << 16, description="Working memory on each GPU.")
    snapshot_interval_s: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="A snapshot is taken this long after the last one when something changed.",
    )
    journal_sync_interval_s: float = Field(
        1.0, gt=0, le=3600, description="What a loss of power may take from the journal."
    )
    journal_max_bytes: int = Field(
        256 << 20, ge=1 << 20, le=1 << 36, description="A snapshot is due when the journal has so many."
    )

    @field_validator("index_kinds")
    @classmethod
    def _are_kinds(cls, value: str) -> str:
        Kinds.parse(value, gpus=gpu_count())
        return value

    @model_validator(mode="after")
    def _is_one_of_the_shards(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"shard {self.shard} is not one of {self.shards}, counted from 0")
        return self
