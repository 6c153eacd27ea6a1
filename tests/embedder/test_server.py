"""The embedder over real gRPC, with an engine that computes something trivial."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from services.embedder.engine import Vectors
from services.embedder.images import ImageLimits, Pixels
from services.embedder.pipeline import Pipeline
from services.embedder.server import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.embedder.towers import Space
from services.mesh.channel import call, connect
from services.mesh.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from services.mesh.server import Host
from services.mesh.vectors import decode
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc


class MeanColourEngine:
    """A space `colour` (the mean) and a space `bare` without weights; `gate` can hold its work back."""

    image_size = 8
    pass_images = 3
    spaces = (
        Space("colour", "mean", 3, accepts_text=True, digest="c0", device="cpu", dtype="float32"),
        Space("bare", "none", 3, accepts_text=False, unavailable_reason="no weights here"),
    )

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def embed_images(self, images: Pixels, spaces: Sequence[str] = ()) -> dict[str, Vectors]:
        self.gate.wait(10)
        if "bare" in spaces:
            raise FailedPrecondition("bare: no weights here", reason="WEIGHTS_MISSING")
        means = images.reshape(len(images), -1, 3).mean(axis=1) + 1e-3
        return {"colour": (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)}

    def embed_texts(self, texts: Sequence[str], spaces: Sequence[str] = ()) -> dict[str, Vectors]:
        return {"colour": np.stack([np.array([len(text), 0, 0], np.float32) / len(text) for text in texts])}


@pytest.fixture
def engine() -> MeanColourEngine:
    return MeanColourEngine()


@pytest.fixture
async def stub(engine: MeanColourEngine) -> AsyncIterator[embedder_pb2_grpc.EmbedderServiceAsyncStub]:
    host = Host(EmbedderSettings(port=0), "embedder")
    limits = ImageLimits(max_bytes=100_000, max_pixels=10_000)
    pipeline = Pipeline(engine, limits=limits, decode_threads=2, max_queued_items=8)  # type: ignore[arg-type]
    servicer = EmbedderServicer(pipeline, engine.spaces, max_images=4, max_texts=4)
    host.add(
        embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server),
    )
    port = await host.start()
    await pipeline.warm_up()
    channel = connect(f"127.0.0.1:{port}")
    yield embedder_pb2_grpc.EmbedderServiceStub(channel)
    await channel.close()
    host.stop()
    await host.wait()


def png(colour: str, size: tuple[int, int] = (20, 20)) -> common_pb2.Image:
    """An image message of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return common_pb2.Image(content=file.getvalue())


async def embed(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
    *images: common_pb2.Image,
    timeout_s: float = 5,
    space: str = "",
) -> embedder_pb2.EmbedImagesResponse:
    request = embedder_pb2.EmbedImagesRequest(images=images, spaces=[space] if space else [])
    return await call(stub.EmbedImages, request, timeout_s=timeout_s)


async def test_images_are_embedded_in_order(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """Each image gets its own vector, stamped with space and digest, and the stages are timed."""
    response = await embed(stub, png("red"), png("blue"))
    red, blue = (decode(item.vectors[0], field="v") for item in response.embeddings)
    assert red == pytest.approx([1, 0, 0], abs=1e-4)
    assert blue == pytest.approx([0, 0, 1], abs=1e-4)
    assert response.embeddings[0].vectors[0].model_digest == "c0"
    assert [timing.stage for timing in response.stages] == ["decode", "queue", "forward"]


async def test_a_box_limits_what_is_looked_at(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """Only the part inside the bounding box is embedded."""
    file = io.BytesIO()
    picture = Image.new("RGB", (40, 40), "red")
    picture.paste("blue", (20, 0, 40, 40))
    picture.save(file, "PNG")
    image = common_pb2.Image(
        content=file.getvalue(), box=common_pb2.BoundingBox(left=0.6, top=0, right=1, bottom=1)
    )
    response = await embed(stub, image)
    assert decode(response.embeddings[0].vectors[0], field="v") == pytest.approx([0, 0, 1], abs=1e-4)


async def test_one_bad_image_never_fails_its_batch(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """Bad items carry INVALID_ARGUMENT with a reason and the good ones their vectors."""
    bad_box = png("red")
    bad_box.box.left = 2
    response = await embed(
        stub, common_pb2.Image(content=b"no image"), png("red"), png("red", (200, 200)), bad_box
    )
    codes = [item.status.code for item in response.embeddings]
    assert codes == [3, 0, 3, 3]
    assert "pixels" in response.embeddings[2].status.message
    assert response.embeddings[3].status.field == "box"
    assert len(response.embeddings[1].vectors) == 1


async def test_a_batch_of_bad_images_alone_is_answered(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
) -> None:
    """Nothing to compute is no error of the call."""
    response = await embed(stub, common_pb2.Image(), common_pb2.Image(content=b"x" * 200_000))
    assert [item.status.code for item in response.embeddings] == [3, 3]


async def test_texts_are_embedded_and_bad_ones_told(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """An empty text and one that is too long are told apart from good ones."""
    request = embedder_pb2.EmbedTextsRequest(texts=["shoe", "  ", "x" * 1001])
    response = await call(stub.EmbedTexts, request, timeout_s=5)
    assert [item.status.code for item in response.embeddings] == [0, 3, 3]
    only_bad = await call(stub.EmbedTexts, embedder_pb2.EmbedTextsRequest(texts=[""]), timeout_s=5)
    assert only_bad.embeddings[0].status.code == 3


@pytest.mark.parametrize("count", [0, 5])
async def test_counts_out_of_range_name_the_field(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, count: int
) -> None:
    """No image, or too many, is INVALID_ARGUMENT on `images`; the same for texts."""
    with pytest.raises(InvalidArgument) as images:
        await embed(stub, *[png("red")] * count)
    assert images.value.field == "images"
    with pytest.raises(InvalidArgument) as texts:
        await call(stub.EmbedTexts, embedder_pb2.EmbedTextsRequest(texts=["a"] * count), timeout_s=5)
    assert texts.value.field == "texts"


async def test_a_space_without_weights_is_refused_with_the_reason(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
) -> None:
    """Asking for it is FAILED_PRECONDITION, and ListModels says why it is unavailable."""
    with pytest.raises(FailedPrecondition) as caught:
        await embed(stub, png("red"), space="bare")
    assert caught.value.reason == "WEIGHTS_MISSING"
    response = await call(stub.ListModels, embedder_pb2.ListModelsRequest(), timeout_s=5)
    assert [(model.spec.space, model.unavailable_reason) for model in response.models] == [
        ("colour", ""),
        ("bare", "no weights here"),
    ]


async def test_a_full_queue_refuses_at_once_and_recovers(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, engine: MeanColourEngine
) -> None:
    """Beyond the limit callers are refused with a time to come back; admitted ones are answered."""
    engine.gate.clear()
    admitted = [asyncio.create_task(embed(stub, *[png("red")] * 4)) for _ in range(2)]
    while REGISTRY.get_sample_value("vitrine_embedder_queue_items") != 8:  # noqa: ASYNC110 - a metric has no event
        await asyncio.sleep(0.01)
    with pytest.raises(ResourceExhausted) as refused:
        await embed(stub, png("red"))
    assert refused.value.retry_after_s > 0
    engine.gate.set()
    assert all(len(response.embeddings) == 4 for response in await asyncio.gather(*admitted))
    assert len((await embed(stub, png("red"))).embeddings) == 1


async def test_work_whose_caller_left_is_not_started(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, engine: MeanColourEngine
) -> None:
    """A deadline that passes in the queue is DEADLINE_EXCEEDED, and its place is free again."""
    engine.gate.clear()
    first = asyncio.create_task(embed(stub, *[png("red")] * 4))
    with pytest.raises(DeadlineExceeded):
        await embed(stub, *[png("red")] * 4, timeout_s=0.2)
    engine.gate.set()
    await first
    assert len((await embed(stub, *[png("red")] * 4)).embeddings) == 4
