"""The parts of vectorsearch's benchmark that decide what a figure is."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np
import pytest
from PIL import Image

from benchmarks.embedder.callers import Failed
from benchmarks.peers.vector_libraries import FaissFlat
from benchmarks.vectorsearch import __main__ as program
from benchmarks.vectorsearch import bare, collection, feed, messages, peers, photos
from benchmarks.vectorsearch.bare import Verdict, Way
from benchmarks.vectorsearch.callers import SEARCH, Caller
from benchmarks.vectorsearch.collection import DIMENSIONS, SELECTIVITIES, Collection
from benchmarks.vectorsearch.kept import SPACES, Kept
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, vectorsearch_pb2

WEIGHTS = {"clip": 0.7, "triplet": 0.3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("collection") / "made"
    return collection.make(folder, None, rows=500, spaces=tuple(WEIGHTS), queries=8)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Vectors of 40 photos, of which none are alike."""
    chance = np.random.default_rng(3)
    for space in SPACES:
        vectors = chance.standard_normal((40, DIMENSIONS[space]), dtype=np.float32)
        np.save(tmp_path / f"{space}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return Kept(tmp_path)


def scores(made: Collection) -> Any:
    """Weighted sums of cosines, float64 [queries, rows]."""
    spaces = WEIGHTS.items()
    return sum(
        w * made.asked(space).astype(np.float64) @ made.matrix(space).T.astype(np.float64)
        for space, w in spaces
    )


def test_photos_that_ask_are_not_searched(kept: Kept, tmp_path: Path) -> None:
    """Rows and queries are different photos, the same ones in every space, and the source counts them."""
    made = collection.make(tmp_path / "made", kept, rows=30, spaces=SPACES, queries=8)
    assert made.source == "30 real photos; 8 others ask"
    for space in SPACES:
        cosines = made.asked(space) @ np.array(made.matrix(space)).T
        assert cosines.max() < 0.9
        own = np.array(made.matrix(space)) @ np.array(kept.vectors(space)).T
        assert np.array_equal(
            own.argmax(axis=1), (made.matrix("clip") @ kept.vectors("clip").T).argmax(axis=1)
        )


def test_photos_are_repeated_with_noise_where_there_are_too_few(kept: Kept, tmp_path: Path) -> None:
    """The first ones are the photos themselves, the others near them, and all of unit length."""
    made = collection.make(tmp_path / "made", kept, rows=100, spaces=("clip",), queries=10)
    matrix = np.array(made.matrix("clip"))
    nearest = (matrix @ kept.vectors("clip").T).max(axis=1)
    assert nearest[:30] == pytest.approx(1, abs=1e-6)
    assert np.all((nearest[30:] > 0.95) & (nearest[30:] < 0.999))
    assert np.linalg.norm(matrix, axis=1) == pytest.approx(1, abs=1e-6)
    assert "30 real photos, repeated to 100" in made.source


def test_filters_let_their_share_pass(made: Collection) -> None:
    """Each lets pass the share of its name, at least one row, and what a stricter one lets pass."""
    counts = [int(made.passing(share).sum()) for share in SELECTIVITIES]
    assert counts == [1, 5, 50, 250, 495]
    assert np.all(made.passing(0.1) <= made.passing(0.5))


def test_a_change_says_which_filters_its_product_passes(made: Collection) -> None:
    """Its attributes agree with the masks, its vectors are the row's or those asked for."""
    changes = messages.Changes(made)
    for row in (0, 17, 499):
        change = changes.write(row, 7, vectors_of=3)
        values = change.rows.attributes.attributes
        for share in SELECTIVITIES:
            expected = "in" if made.passing(share)[row] else "out"
            assert values[messages.attribute(share)].values[0].text == expected
        (photo,) = change.rows.photos
        assert [vector.space for vector in photo.vectors] == list(made.spaces)
        assert photo.vectors[0].data == made.matrix(made.spaces[0])[3].tobytes()


def test_searches_carry_query_weight_and_filter(made: Collection) -> None:
    """There is one a query of the collection, and what it found comes back as rows."""
    requests = messages.searches(made, WEIGHTS, selectivity=0.1, limit=5, exact=True)
    assert len(requests) == made.queries
    request = vectorsearch_pb2.SearchVectorsRequest.FromString(requests[2])
    assert [(each.vector.space, each.weight) for each in request.queries] == list(WEIGHTS.items())
    assert request.queries[0].vector.data == made.asked("clip")[2].tobytes()
    assert request.filter.all_of[0].any_of[0].attribute == messages.attribute(0.1)
    assert (request.limit, request.exact) == (5, True)
    candidates = common_pb2.Candidates(product_ids=[messages.product_id(row) for row in (12, 0, 499)])
    answer = vectorsearch_pb2.SearchVectorsResponse(candidates=candidates)
    assert messages.found(answer.SerializeToString()) == [12, 0, 499]


def test_the_best_rows_are_right_in_any_order(made: Collection) -> None:
    """Recall is the share of the rows that belong; a row named twice, or one too low, does not count."""
    best = np.argsort(-scores(made), axis=1)[:, :11]
    assert bare.judge(made, WEIGHTS, best[:, 9::-1].tolist(), 10) == Verdict(80, 80)
    assert bare.judge(made, WEIGHTS, best[:, 1:].tolist(), 10).recall == pytest.approx(0.9)
    assert bare.judge(made, WEIGHTS, [[row, row] for row in best[:, 0].tolist()], 2).recall == 0.5


def test_rows_that_do_not_pass_are_wrong(made: Collection) -> None:
    """Under a filter only rows that pass count, and no more are wanted than there are."""
    passing = made.passing(0.01)
    rows = np.flatnonzero(passing).tolist()
    assert bare.judge(made, WEIGHTS, [rows] * 8, 10, 0.01) == Verdict(40, 40)
    others = np.flatnonzero(~passing)[:5].tolist()
    assert bare.judge(made, WEIGHTS, [others] * 8, 10, 0.01) == Verdict(0, 40)


def test_equal_scores_are_equally_right(made: Collection, tmp_path: Path) -> None:
    """Of rows that score the same up to a millionth, any may be named."""
    twin = Collection(tmp_path, 2, ("clip",), 1, "")
    row = made.matrix("clip")[:1]
    np.save(tmp_path / "rows-clip.npy", np.vstack([row, row * np.float32(1 - 1e-7)]))
    np.save(tmp_path / "queries-clip.npy", row)
    assert bare.judge(twin, {"clip": 1.0}, [[1]], 1).recall == 1


def test_bare_faiss_ranks_by_the_weighted_sum(made: Collection) -> None:
    """The flat index over the spaces side by side finds what the reference wants, whatever the way."""
    bare.prepare(made, WEIGHTS, 10)
    assert bare._index is not None
    for way in (Way(1, 1), Way(8, 2), Way(8, 2, blas=True)):
        batch = next(bare._turns(way))
        _, found = cast("Any", batch())
        assert bare.judge(made, WEIGHTS, found.tolist(), 10).recall == 1
    assert len(bare.singles([Way(1, 1), Way(1, 2)], 3)) == 3
    assert bare.sweep([Way(4, 1)], 2, 0.01)[Way(4, 1)] > 0


@pytest.fixture
def stub(made: Collection) -> Iterator[catalog_pb2_grpc.FeedServiceStub]:
    """A feed of the collection in this process."""
    port = feed.serve(made)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield catalog_pb2_grpc.FeedServiceStub(channel)
    assert feed._serving is not None
    feed._serving[1].stop(None).wait()


def test_a_new_follower_scans_and_then_follows(
    made: Collection, stub: catalog_pb2_grpc.FeedServiceStub
) -> None:
    """The log does not reach back to the beginning; the scan has every product; writes come in order."""
    with pytest.raises(grpc.RpcError) as refused:
        next(stub.Follow(catalog_pb2.FollowRequest(after_revision=0), timeout=60))
    assert cast("grpc.Call", refused.value).code() is grpc.StatusCode.OUT_OF_RANGE
    frames = list(stub.Scan(catalog_pb2.ScanRequest(), timeout=60))
    assert {frame.revision for frame in frames} == {made.rows}
    ids = [change.product_id for frame in frames for change in frame.changes]
    assert ids == [messages.product_id(row) for row in range(made.rows)]
    stream = stub.Follow(catalog_pb2.FollowRequest(after_revision=made.rows), timeout=60)
    assert next(stream).head_revision == made.rows
    written = feed.write(2000, 0.1, seed=5)
    assert (written.upserts, written.revision) == (200, made.rows + 200)
    revisions: list[int] = []
    while len(revisions) < 200:
        frame = next(stream)
        revisions += [change.revision for change in frame.changes]
        assert frame.revision == revisions[-1]
    assert revisions == list(range(made.rows + 1, made.rows + 201))
    stream.cancel()


class Numbers(grpc.GenericRpcHandler):
    """Answers a search twice over; a number is a status instead."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != SEARCH:
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if request.isdigit():
            await context.abort(next(code for code in grpc.StatusCode if code.value[0] == int(request)), "so")
        return request * 2


async def test_a_caller_gets_its_answers_and_is_told_of_refusals() -> None:
    """Each of many calls gets its own answer, a status comes by name, and a lost connection is made anew."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Numbers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Caller(port) as caller:
        requests = [b"a", b"bc", b"d" * 100_000]
        answers = await asyncio.gather(*(caller.search(request, 60) for request in requests))
        assert answers == [request * 2 for request in requests]
        with pytest.raises(Failed, match="RESOURCE_EXHAUSTED"):
            await caller.search(b"8", 60)
        with pytest.raises(Failed, match="UNIMPLEMENTED"):
            await caller.echo(b"", 60)
        assert caller._connection is not None
        caller._connection.connection_lost(None)
        assert await caller.search(b"again", 60) == b"againagain"
    await server.stop(None)


def test_where_ours_is_behind_the_table_says_in_what() -> None:
    """A figure in which a peer is ahead is named with the recall of both."""
    ours = {
        "queries_per_s": 200.0,
        "p99_ms": 10.0,
        "filtered_p50_ms": 2.0,
        "recall_at_10": 1.0,
        "filtered_recall_at_10": 1.0,
    }
    theirs = ours | {"queries_per_s": 100.0, "filtered_p50_ms": 1.0, "filtered_recall_at_10": 0.5}
    found = peers.compare("ours", ours, theirs)
    assert found["ours_over_peer"] == {"queries_per_s": 2.0, "p99_ms": 1.0, "filtered_p50_ms": 0.5}
    assert found["why"] == (
        "ours is behind in p99_ms and filtered_p50_ms, at recall 1.0 against 1.0, and 1.0 against 0.5 "
        "when filtered"
    )
    assert peers.median([ours, theirs, theirs])["queries_per_s"] == 100.0


def test_the_worst_of_all_row_counts_stands_on_top() -> None:
    """A gain is as good as the lowest, a ratio of latencies as the highest; sizes without it are left out."""
    sizes: dict[str, dict[str, object]] = {
        "47": {"coalescing_gain": 5.0, "filtered_over_unfiltered": 0.9},
        "200": {"coalescing_gain": 4.0, "filtered_over_unfiltered": 0.8},
        "large": {"unavailable": "needs more"},
    }
    assert program.worst(sizes) == {"coalescing_gain": 4.0, "filtered_over_unfiltered": 0.9}


def test_a_library_is_filtered_by_what_it_was_told(made: Collection) -> None:
    """The naive peer finds the best rows, and under the filter the best of those that pass."""
    rows, queries = np.array(made.matrix("clip")), made.asked("clip")
    library = FaissFlat(rows, made.passing(0.1))
    free = [list(library.search(query, 10, filtered=False)) for query in queries]
    narrowed = [list(library.search(query, 10, filtered=True)) for query in queries]
    assert bare.judge(made, {"clip": 1.0}, free, 10).recall == 1
    assert bare.judge(made, {"clip": 1.0}, narrowed, 10, 0.1).recall == 1
    assert library.search_many(queries, 10).tolist() == free


class FakeEngine:
    """Embeds a picture as its mean colour, over and over."""

    passes, image_size = 2, 8

    def embed_images(self, images: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
        means = np.array([image.mean(axis=(0, 1)) for image in images], dtype=np.float32)
        return {name: np.resize(means, (len(images), 3)) for name in names}


def test_photos_of_folders_and_zips_are_embedded_in_order(tmp_path: Path) -> None:
    """Every space has a row a photo in the order of their names; what is no picture is left out."""
    for catalogue in ("first", "second"):
        (tmp_path / catalogue).mkdir()
    (tmp_path / "first" / "images").mkdir()
    (tmp_path / "first" / "products.csv").write_text("id,image\n")
    with zipfile.ZipFile(tmp_path / "second" / "all.zip", "w") as archive:
        archive.writestr("products.csv", "id,image\n")
        for shade in (60, 80):
            archive.writestr(f"images/{shade}.jpg", _grey(shade))
    for shade in (20, 40):
        (tmp_path / "first" / "images" / f"{shade}.png").write_bytes(_grey(shade))
    (tmp_path / "first" / "images" / "30.jpg").write_bytes(b"no picture")
    found = photos._photos(tmp_path)
    assert [photo.name for photo in found] == [
        "first/20.png",
        "first/30.jpg",
        "first/40.png",
        "second/60.jpg",
        "second/80.jpg",
    ]
    photos._write(found, cast("Any", FakeEngine()), tmp_path)
    assert (tmp_path / "photos.txt").read_text().split() == [
        photo.name for photo in found if photo.name != "first/30.jpg"
    ]
    for space in SPACES:
        assert Kept(tmp_path).vectors(space)[:, 0] == pytest.approx([20, 40, 60, 80], abs=1)
    assert len(Kept(tmp_path)) == 4


def test_other_photos_have_another_place(tmp_path: Path) -> None:
    """Vectors are found again by the names of their photos."""
    (tmp_path / "one" / "images").mkdir(parents=True)
    (tmp_path / "one" / "products.csv").write_text("id,image\n")
    (tmp_path / "one" / "images" / "a.png").write_bytes(_grey(1))
    before = photos._folder(photos._photos(tmp_path), tmp_path / "models")
    assert photos._folder(photos._photos(tmp_path), tmp_path / "models") == before
    (tmp_path / "one" / "images" / "b.png").write_bytes(_grey(1))
    assert photos._folder(photos._photos(tmp_path), tmp_path / "models") != before


def _grey(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()
