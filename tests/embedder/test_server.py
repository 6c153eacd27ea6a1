"""The embedder over real gRPC, with an engine that computes something trivial."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image
from prometheus_client import REGISTRY

from services.mesh.channel import call
from services.mesh.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from services.mesh.vectors import decode
from tests.embedder.engines import OLD_DIGEST, MeanColourEngine
from tests.embedder.servers import running
from tests.patience import until
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

# Of one and of two images; more do not fit a pass.
WARM_UP_BATCHES = 2


@pytest.fixture
def engine() -> MeanColourEngine:
    return MeanColourEngine()


@pytest.fixture
async def stub(engine: MeanColourEngine) -> AsyncIterator[embedder_pb2_grpc.EmbedderServiceAsyncStub]:
    async with running(engine) as server:
        yield server.stub


def png(colour: str, size: tuple[int, int] = (20, 20)) -> common_pb2.Image:
    """An image message of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return common_pb2.Image(content=file.getvalue())


async def embed(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
    *images: common_pb2.Image,
    # What a stall at the start makes passes seem to take is far below it.
    timeout_s: float = 600,
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
    assert [timing.stage for timing in response.stages] == ["queue", "decode", "forward"]


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
        stub, common_pb2.Image(content=b"no image"), png("red"), png("red", (600, 600)), bad_box
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
    response = await call(stub.EmbedTexts, request, timeout_s=60)
    assert [item.status.code for item in response.embeddings] == [0, 3, 3]
    only_bad = await call(stub.EmbedTexts, embedder_pb2.EmbedTextsRequest(texts=[""]), timeout_s=60)
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
        await call(stub.EmbedTexts, embedder_pb2.EmbedTextsRequest(texts=["a"] * count), timeout_s=60)
    assert texts.value.field == "texts"


async def test_a_space_without_weights_is_refused_with_the_reason(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
) -> None:
    """Asking for it is FAILED_PRECONDITION, and ListModels says why it is unavailable beside the cards."""
    with pytest.raises(FailedPrecondition) as caught:
        await embed(stub, png("red"), space="bare")
    assert caught.value.reason == "WEIGHTS_MISSING"
    response = await call(stub.ListModels, embedder_pb2.ListModelsRequest(), timeout_s=60)
    assert [(model.spec.space, model.unavailable_reason) for model in response.models] == [
        ("colour", ""),
        ("bare", "no weights here"),
        ("colour", ""),
    ]
    assert [model.card for model in response.models] == ["# mean", "", ""]


async def test_a_full_queue_refuses_at_once_and_recovers(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, engine: MeanColourEngine
) -> None:
    """Beyond the limit callers are refused with a time to come back; admitted ones are answered."""
    engine.gate.clear()
    admitted = [asyncio.create_task(embed(stub, *[png("red")] * 4)) for _ in range(2)]
    await metric("vitrine_embedder_inflight", 8)
    with pytest.raises(ResourceExhausted) as refused:
        await embed(stub, png("red"))
    assert refused.value.retry_after_s > 0
    engine.gate.set()
    assert all(len(response.embeddings) == 4 for response in await asyncio.gather(*admitted))
    assert len((await embed(stub, png("red"))).embeddings) == 1


async def test_work_whose_caller_left_is_not_started(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, engine: MeanColourEngine
) -> None:
    """What waits of a caller that left is dropped, and its place is free again."""
    cancelled = {
        "grpc_type": "unary",
        "grpc_service": "vitrine.v1.EmbedderService",
        "grpc_method": "EmbedImages",
        "grpc_code": "CANCELLED",
    }
    before = REGISTRY.get_sample_value("grpc_server_handled_total", cancelled) or 0
    engine.gate.clear()
    first = asyncio.create_task(embed(stub, *[png("red")] * 4))
    await until(lambda: engine.begun == WARM_UP_BATCHES + 1)
    gone = asyncio.create_task(embed(stub, *[png("red")] * 4))
    await metric("vitrine_embedder_inflight", 8)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await metric("grpc_server_handled_total", before + 1, cancelled)
    engine.gate.set()
    await first
    await metric("vitrine_embedder_inflight", 0)
    assert sum(engine.batches[WARM_UP_BATCHES:]) == 4


async def test_a_model_is_named_by_its_digest(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """Two models of one space answer in one call, each stamped with its own digest."""
    request = embedder_pb2.EmbedImagesRequest(images=[png("red")], spaces=["colour", f"colour@{OLD_DIGEST}"])
    (embedding,) = (await call(stub.EmbedImages, request, timeout_s=60)).embeddings
    new, old = embedding.vectors
    assert [(each.space, each.model_digest) for each in (new, old)] == [
        ("colour", "c0"),
        ("colour", OLD_DIGEST),
    ]
    assert decode(old, field="v") == pytest.approx(-decode(new, field="v"))


async def test_an_image_is_fetched_from_its_address(stub: embedder_pb2_grpc.EmbedderServiceAsyncStub) -> None:
    """An address that may be reached gives the same vector as the bytes, and is timed as a stage."""
    content = png("red").content

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        response = await embed(stub, common_pb2.Image(uri=f"http://127.0.0.1:{port}/red.png"))
    assert decode(response.embeddings[0].vectors[0], field="v") == pytest.approx([1, 0, 0], abs=1e-3)
    assert "fetch" in [timing.stage for timing in response.stages]


async def test_an_address_that_is_refused_fails_alone(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub,
) -> None:
    """A private address, and an image with both bytes and address, are item errors beside good items."""
    both = common_pb2.Image(content=png("red").content, uri="http://127.0.0.1/red.png")
    private = common_pb2.Image(uri="http://10.0.0.1/red.png")
    response = await embed(stub, private, png("red"), both)
    assert [item.status.code for item in response.embeddings] == [3, 0, 3]
    assert [item.status.field for item in response.embeddings] == ["uri", "", "uri"]
    assert response.embeddings[0].status.reason == "URI_REFUSED"


async def test_calls_share_batches_and_people_go_first(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, engine: MeanColourEngine
) -> None:
    """While the device is busy single images of several callers gather into one batch."""
    engine.gate.clear()
    first = asyncio.create_task(embed(stub, png("red")))
    await until(lambda: engine.begun == WARM_UP_BATCHES + 1)
    others = [asyncio.create_task(embed(stub, png("blue"))) for _ in range(3)]
    await metric("vitrine_embedder_queue_items", 3)
    engine.gate.set()
    await asyncio.gather(first, *others)
    assert engine.batches[WARM_UP_BATCHES:] == [1, 3]


async def metric(name: str, value: float, labels: dict[str, str] | None = None) -> None:
    await until(lambda: REGISTRY.get_sample_value(name, labels) == value)


@pytest.mark.parametrize("spaces", [["colour"] * 33, ["x" * 161]])
async def test_endless_names_of_spaces_are_refused(
    stub: embedder_pb2_grpc.EmbedderServiceAsyncStub, spaces: list[str]
) -> None:
    """How many spaces, and how long their names, is limited for pictures and texts."""
    images = embedder_pb2.EmbedImagesRequest(images=[png("red")], spaces=spaces)
    texts = embedder_pb2.EmbedTextsRequest(texts=["shoe"], spaces=spaces)
    for refused in (call(stub.EmbedImages, images, timeout_s=60), call(stub.EmbedTexts, texts, timeout_s=60)):
        with pytest.raises(InvalidArgument) as caught:
            await refused
        assert caught.value.field == "spaces"
