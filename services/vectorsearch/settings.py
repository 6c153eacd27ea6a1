"""What a shard can be told (`VITRINE_VECTORSEARCH_<KEY>`)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.mesh.buckets import BUCKETS
from services.mesh.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Settings of one shard. Shard i of a machine listens on ports 50060 + i and 51060 + i by convention."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_VECTORSEARCH_")

    port: Port = Field(50060, description="gRPC port.")
    metrics_port: Port = Field(51060, description="Prometheus port; 0 turns metrics off.")
    shard: int = Field(0, ge=0, lt=BUCKETS, description="Which shard this is, from 0.")
    shards: int = Field(1, ge=1, le=BUCKETS, description="Of how many.")
    feed_target: str = Field("127.0.0.1:50051", description="Where the change feed is served: the gateway.")
    feed_backoff_max_s: float = Field(
        5.0, gt=0, le=300, description="Longest wait before a lost feed is tried again."
    )
    data_dir: Path = Field(Path("var/vectorsearch"), description="Where snapshots are kept.")
    search_threads: int = Field(
        2, ge=1, le=256, description="Searches run at once; one that runs alone takes all threads."
    )
    snapshot_interval_s: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="A snapshot is taken this long after the last one when something changed.",
    )

    @model_validator(mode="after")
    def _is_one_of_the_shards(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"shard {self.shard} is not one of {self.shards}, counted from 0")
        return self
