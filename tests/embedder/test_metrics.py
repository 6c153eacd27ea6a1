from __future__ import annotations

from prometheus_client import REGISTRY

from services.embedder import metrics
from services.mesh.channel import call
from tests.embedder.engines import MeanColourEngine
from tests.embedder.servers import running
from tests.embedder.test_server import embed, png
from vitrine.v1 import common_pb2, embedder_pb2


def count(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(f"vitrine_embedder_{name}_total", labels)
    assert found is not None, f"{name} of {labels} was not declared"
    return found


async def test_what_is_embedded_and_what_is_refused_count() -> None:
    """Items count, vectors by space, refused pictures by what is wrong; warming up does not count."""
    metrics.declare(["colour"])
    before = {kind: count("embedded", kind=kind) for kind in metrics.KINDS}
    async with running(MeanColourEngine()) as server:
        vectors = count("vectors", space="colour")
        refused = {reason: count("rejected", reason=reason) for reason in ("not_an_image", "image_too_large")}
        await embed(
            server.stub,
            png("red"),
            common_pb2.Image(content=b"no image"),
            png("red", (600, 600)),
            png("blue"),
        )
        assert count("embedded", kind="images") == before["images"] + 2
        assert count("vectors", space="colour") == vectors + 2
        assert {reason: count("rejected", reason=reason) - refused[reason] for reason in refused} == {
            "not_an_image": 1,
            "image_too_large": 1,
        }
        request = embedder_pb2.EmbedTextsRequest(texts=["shoe", "  "])
        await call(server.stub.EmbedTexts, request, timeout_s=60)
        assert count("embedded", kind="texts") == before["texts"] + 1
