"""The embedder's process under inputs that were made to break it.

`VITRINE_FUZZ_INPUTS` says how many files it gets, 20,000 by default, and `VITRINE_FUZZ_SEED` which; the same
seed gives the same files.
"""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.images import BAD_BOX
from services.mesh.errors import InvalidArgument
from services.mesh.pictures.decoding import DAMAGED_IMAGE, EMPTY_IMAGE, IMAGE_TOO_LARGE, NOT_AN_IMAGE
from tests.faults import cheap_embedder
from tests.faults.mutations import mutated, pictures
from tests.meshes import eventually
from tests.ports import reserved
from vitrine.v1 import common_pb2, embedder_pb2, embedder_pb2_grpc

pytestmark = pytest.mark.faults

INPUTS = int(os.environ.get("VITRINE_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("VITRINE_FUZZ_SEED", "1"))
# Of every call, pictures that are whole and must get their vector whatever surrounds them.
WITNESSES = 4
# Above what the process takes when it has just started: the calls in flight, the pictures being decoded, and
# what the allocator keeps for later.
MAX_GROWTH_BYTES = 256 << 20
CALLS_IN_FLIGHT = 4
TIMEOUT_S = 300
_URI_REFUSED = "URI_REFUSED"
OF_BYTES = {EMPTY_IMAGE, NOT_AN_IMAGE, DAMAGED_IMAGE, IMAGE_TOO_LARGE}
# The last one is told to who gives both bytes and an address.
REASONS = {*OF_BYTES, BAD_BOX, _URI_REFUSED, InvalidArgument.default_reason}

_SERVICE = "vitrine.v1.EmbedderService"
_SHOWN_BYTES = 4096


@dataclass(frozen=True)
class Server:
    """The process, and a way to call it."""

    process: psutil.Process
    stub: embedder_pb2_grpc.EmbedderServiceStub
    health: Any
    # Of every whole picture that is one to this server, when it was alone in its call.
    vectors: dict[bytes, bytes]

    def embed(
        self, images: Sequence[common_pb2.Image], spaces: Sequence[str] = ("colour",)
    ) -> Sequence[embedder_pb2.Embedding]:
        """One call; raises grpc.RpcError."""
        request = embedder_pb2.EmbedImagesRequest(images=images, spaces=spaces)
        response: embedder_pb2.EmbedImagesResponse = self.stub.EmbedImages(request, timeout=TIMEOUT_S)
        return response.embeddings

    def is_serving(self) -> bool:
        answer = self.health.Check(health_pb2.HealthCheckRequest(service=_SERVICE), timeout=TIMEOUT_S)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def peak_bytes(self) -> int:
        """The most memory that the process ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedder with a cheap model that has seen every whole picture once."""
    log = tmp_path_factory.mktemp("fuzz") / "embedder.log"
    command = [sys.executable, "-m", "tests.faults.cheap_embedder"]
    with (
        reserved() as port,
        log.open("wb") as errors,
        subprocess.Popen([*command, str(port)], stderr=errors) as process,
    ):
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                server = Server(
                    psutil.Process(process.pid),
                    embedder_pb2_grpc.EmbedderServiceStub(channel),
                    health_pb2_grpc.HealthStub(channel),
                    {},
                )
                wait_until_serving(server, process, log)
                for picture in pictures():
                    (embedding,) = server.embed([common_pb2.Image(content=picture)])
                    if embedding.vectors:
                        server.vectors[picture] = embedding.vectors[0].data
                yield server
        finally:
            process.terminate()
            process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, log.read_text(encoding="utf-8")[-4000:]


def wait_until_serving(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    def serves() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-4000:]
        try:
            return server.is_serving()
        except grpc.RpcError:
            return False

    eventually(serves, timeout_s=TIMEOUT_S, what="the embedder serves")


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code: grpc.StatusCode = cast("Any", error).code()
    return code


def check(embedding: embedder_pb2.Embedding, image: common_pb2.Image) -> str:
    """The item has either one vector or a status that says what is wrong; the reason, empty for a vector."""
    shown = base64.b64encode(image.SerializeToString()[:_SHOWN_BYTES]).decode()
    if not embedding.HasField("status"):
        assert [vector.space for vector in embedding.vectors] == ["colour"], shown
        return ""
    assert not embedding.vectors, shown
    assert embedding.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0], (embedding.status, shown)
    assert embedding.status.reason in REASONS, (embedding.status, shown)
    assert embedding.status.message, shown
    return embedding.status.reason


def test_damaged_files_harm_neither_the_server_nor_their_neighbours(server: Server) -> None:
    """After thousands of mutated pictures the server serves, in bounded memory, and has told each what it is.

    Whole pictures among them get the very vector that they get alone.
    """
    print(f"seed {SEED}, {INPUTS} inputs")  # noqa: T201 - what a failing run is repeated with
    witnesses = sorted(server.vectors)
    before_bytes = server.process.memory_info().rss
    share = cheap_embedder.MAX_IMAGES - WITNESSES

    def one_call(start: int) -> Counter[str]:
        numbers = range(start, min(start + share, INPUTS))
        chance = random.Random(f"{SEED}:call {start}")
        items = [(mutated(SEED, number), False) for number in numbers]
        items += [(chance.choice(witnesses), True) for _ in range(WITNESSES)]
        chance.shuffle(items)
        images = [common_pb2.Image(content=content) for content, _ in items]
        try:
            embeddings = server.embed(images)
        except grpc.RpcError as error:
            raise AssertionError(f"seed {SEED}, inputs {numbers}: {error}") from error
        reasons: Counter[str] = Counter()
        for embedding, image, (content, is_whole) in zip(embeddings, images, items, strict=True):
            reasons[check(embedding, image)] += 1
            assert not is_whole or embedding.vectors[0].data == server.vectors[content], embedding.status
        return reasons

    reasons: Counter[str] = Counter()
    with ThreadPoolExecutor(CALLS_IN_FLIGHT) as pool:
        for told in pool.map(one_call, range(0, INPUTS, share)):
            reasons += told
    grown_bytes = server.peak_bytes() - before_bytes
    print(f"{dict(reasons)}, {grown_bytes >> 20} MiB more at the peak")  # noqa: T201 - shown with a failure
    assert grown_bytes < MAX_GROWTH_BYTES
    # Every way in which a picture can be wrong was met, and some survive their mutations.
    assert reasons.keys() == {"", *OF_BYTES}
    eventually(server.is_serving, timeout_s=TIMEOUT_S, what="health says SERVING")


_SHARES = st.floats(width=32) | st.sampled_from([0.0, 1.0, 0.5, 5e-324, float("nan"), float("inf"), -0.0])
_BOXES = st.none() | st.builds(
    common_pb2.BoundingBox, left=_SHARES, top=_SHARES, right=_SHARES, bottom=_SHARES
)
_CONTENTS = (
    st.binary(max_size=64)
    | st.sampled_from(range(len(pictures()))).map(lambda number: pictures()[number])
    | st.integers(0, 10**6).map(lambda number: mutated(SEED, number))
)
# Addresses that are refused before anything is asked of the network.
_URIS = st.sampled_from(
    ["", "", "", "", "http://127.0.0.1/", "http://[::1]:1/", "file:///etc/passwd", "?", "a:b"]
)
_IMAGES = st.builds(common_pb2.Image, content=_CONTENTS, uri=_URIS, box=_BOXES)
_SPACES = st.lists(st.sampled_from(["colour", "colour", "bare", "nowhere", "", "colour@", "\0"]), max_size=3)


@settings(derandomize=True, max_examples=max(100, INPUTS // 100), deadline=None)
@given(images=st.lists(_IMAGES, max_size=6), spaces=_SPACES)
def test_whatever_is_asked_is_answered(
    server: Server, images: list[common_pb2.Image], spaces: list[str]
) -> None:
    """Any mixture of pictures, boxes and spaces is embedded item by item or refused as a whole.

    A call is refused for its spaces or for having no image, never for what one image is.
    """
    try:
        embeddings = server.embed(images, spaces)
    except grpc.RpcError as error:
        unknown = set(spaces) - {"colour", "bare"}
        codes = {grpc.StatusCode.INVALID_ARGUMENT} if unknown or not images else set()
        codes |= {grpc.StatusCode.FAILED_PRECONDITION} if "bare" in spaces else set()
        assert code_of(error) in codes, error
        return
    assert images
    assert set(spaces) <= {"colour"}
    for embedding, image in zip(embeddings, images, strict=True):
        reason = check(embedding, image)
        if image.uri:
            assert reason == (InvalidArgument.default_reason if image.content else _URI_REFUSED)
        elif image.HasField("box") and not _is_inside(image.box):
            assert reason == BAD_BOX
        elif not image.HasField("box") and image.content in server.vectors:
            assert not reason
            assert embedding.vectors[0].data == server.vectors[image.content]


def test_more_images_than_allowed_are_refused_as_a_whole(server: Server) -> None:
    """One image more than a call may have is the call's error, and nothing is embedded."""
    with pytest.raises(grpc.RpcError) as caught:
        server.embed([common_pb2.Image(content=b"x")] * (cheap_embedder.MAX_IMAGES + 1))
    assert code_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT


def _is_inside(box: common_pb2.BoundingBox) -> bool:
    return 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1
