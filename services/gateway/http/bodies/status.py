"""How the mesh is, as one gateway sees it, and the models that it serves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies.base import Int64, Model, Timestamp
from services.gateway.http.bodies.catalogs import SpaceSpec


class ReplicaStatus(Model):
    """A replica of a shard, as it last told."""

    set: str = Field(description="`shards` or `next_shards`.", examples=["shards"])
    in_use: bool = Field(description="True for the set that searches go to.")
    shard: int = Field(description="The shard, from 0.")
    target: str = Field(description="Its address.", examples=["127.0.0.1:50060"])
    state: Literal[
        "REPLICA_STATE_UNSPECIFIED",
        "REPLICA_STATE_CATCHING_UP",
        "REPLICA_STATE_CAUGHT_UP",
        "REPLICA_STATE_MISPLACED",
    ] = Field(description="How far it is; `REPLICA_STATE_UNSPECIFIED` when it does not answer.")
    revision: Int64 = Field(description="The revision that it reflects.")
    lag: Int64 = Field(description="Revisions that it is behind the log.")
    in_hand: int = Field(description="Calls that this gateway waits for.")
    products: Int64 = Field(description="Products in all catalogues.")
    rows: Int64 = Field(description="Rows: photos.")
    memory_bytes: Int64 = Field(description="Bytes of its vectors and indexes.")
    index_kinds: list[str] = Field(description="The kinds of index that it searches with.")


class DependencyStatus(Model):
    """Whether a service that the gateway stands on answers."""

    name: str = Field(description="`embedder`, `ranker`, `store`, `redis`.", examples=["embedder"])
    available: bool = Field(description="True when it answered just now.")
    problem: str = Field(description="Why not; empty when it did.")
    latency_ms: float = Field(description="Until the answer.")


class StageLatency(Model):
    """How long one stage took, over the last 1,000 times at most."""

    stage: str = Field(description="A stage of searches, of writes, or of both.", examples=["embed"])
    count: Int64 = Field(description="Times looked at.")
    p50_ms: float = Field(description="Half of them took at most so long.")
    p95_ms: float = Field(description="95 of 100 did.")
    p99_ms: float = Field(description="99 of 100 did.")


class SearchCounts(Model):
    """What became of searches."""

    hit: Int64 = Field(description="Answered from the cache.")
    miss: Int64 = Field(description="Computed.")
    shared: Int64 = Field(description="Computed for an equal search that ran at the same time.")
    bypass: Int64 = Field(description="Computed for callers who wanted no cached answer.")


class CacheLookups(Model):
    """What was looked for in one layer of the cache."""

    layer: str = Field(description="`memory` or `redis`.", examples=["memory"])
    kind: str = Field(description="What was looked for.", examples=["answer"])
    hit: Int64 = Field(description="Found.")
    miss: Int64 = Field(description="Not found.")
    failed: Int64 = Field(description="The layer failed.")
    skipped: Int64 = Field(description="Not looked for, while the layer is left alone after a failure.")
    saved_s: float = Field(description="Seconds that making what was found had taken.")


class GetStatusResponse(Model):
    """How the mesh is. The numbers are of the gateway that answers: of several, each has others."""

    version: str = Field(description="Vitrine's version.")
    start_time: Timestamp = Field(description="When this gateway was started.")
    revision: Int64 = Field(description="The last revision of the change log that it knows.")
    replicas: list[ReplicaStatus] = Field(description="Every replica of every shard of every set.")
    dependencies: list[DependencyStatus] = Field(description="What the gateway stands on beside the shards.")
    stages: list[StageLatency] = Field(description="The stages of its last searches and writes.")
    searches: SearchCounts = Field(description="What became of the searches since it was started.")
    cache_lookups: list[CacheLookups] = Field(
        description="What was looked for in the cache since it was started."
    )
    cache_bytes: Int64 = Field(description="Bytes that the cache in memory holds.")


class Preprocessing(Model):
    """How a picture becomes the model's input."""

    image_size: int = Field(description="Side in pixels of the square that a picture is stretched to.")
    mean: list[float] = Field(description="Subtracted from the red, green and blue of pixels 0 to 255.")
    std: list[float] = Field(description="What the result is divided by.")


class ModelInfo(Model):
    """A space and the model behind it."""

    spec: SpaceSpec = Field(description="The digest is empty where the weights are missing.")
    device: str = Field(examples=["cpu"])
    dtype: str = Field(examples=["float32"])
    unavailable_reason: str = Field(description="Why the space is not available; empty when it is.")
    preprocessing: Preprocessing | None = Field(None, description="Absent where the model is not loaded.")
    memory_bytes: Int64 = Field(description="Bytes of its weights on the device, with a trunk it may share.")
    default: bool = Field(description="True for the model that the space's bare name means.")
    card: str = Field(description="Its model card in Markdown; empty when there is none.")


class GetModelsResponse(Model):
    """The models that the embedder serves."""

    models: list[ModelInfo]
