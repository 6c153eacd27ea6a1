"""The embedder's server in the test's own process, around an engine of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio

from services.embedder.pipeline import Pipeline
from services.embedder.server import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.mesh.batching.admission import AdmissionLimits
from services.mesh.channel import connect
from services.mesh.fetch.fetching import Fetcher, FetchLimits
from services.mesh.pictures.decoding import ImageLimits
from services.mesh.server import Host
from services.mesh.watch import watch
from tests.embedder.engines import MeanColourEngine
from vitrine.v1 import embedder_pb2, embedder_pb2_grpc


@dataclass(frozen=True, slots=True)
class Running:
    """A warm server that serves and watches itself."""

    channel: grpc.aio.Channel
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub


@asynccontextmanager
async def running(engine: MeanColourEngine) -> AsyncIterator[Running]:
    """Takes 4 images or texts a call, has room for 8, and fetches from this machine."""
    host = Host(EmbedderSettings(port=0, drain_s=5), "embedder")
    fetcher = Fetcher(FetchLimits(timeout_s=60, connect_timeout_s=60), allowed_hosts=("127.0.0.1",))
    pipeline = Pipeline(
        engine,  # type: ignore[arg-type]  # what a pipeline uses of an engine
        limits=ImageLimits(max_bytes=100_000, max_pixels=250_000),
        decode_threads=2,
        admission=AdmissionLimits(max_items=8, max_bytes=1 << 20),
        fetcher=fetcher,
    )
    servicer = EmbedderServicer(pipeline, engine.spaces, max_images=4, max_texts=4)
    host.add(
        embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server),
    )
    port = await host.start()
    await pipeline.warm_up()
    host.serving()
    host.run_beside(watch(host, pipeline.stages))
    async with connect(f"127.0.0.1:{port}") as channel:
        yield Running(channel, embedder_pb2_grpc.EmbedderServiceStub(channel))
    host.stop()
    await host.wait()
    pipeline.close()
    await fetcher.aclose()
