from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh import channel, errors, vectors
from services.mesh.server import Host
from services.vectorsearch import follower, server
from services.vectorsearch.settings import Settings
from tests.patience import until
from tests.ports import reserved
from tests.vectorsearch.feeds import Feed, serving
from tests.vectorsearch.products import (
    DIMENSIONS,
    change_message,
    deletion_message,
    generations_message,
    photo,
    simple,
    unit,
    vector_message,
    written,
)
from vitrine.v1 import common_pb2, vectorsearch_pb2, vectorsearch_pb2_grpc

Request = vectorsearch_pb2.SearchVectorsRequest


class Running:
    """A shard that serves, and how to ask it."""

    def __init__(self, connection: grpc.aio.Channel, host: Host) -> None:
        self.stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(connection)
        self.health = cast(Any, health_pb2_grpc.HealthStub(connection))
        self.host = host

    async def search(self, request: Request, timeout_s: float = 60) -> vectorsearch_pb2.SearchVectorsResponse:
        return await channel.call(self.stub.SearchVectors, request, timeout_s=timeout_s)

    async def get(self, *product_ids: str, **more: Any) -> vectorsearch_pb2.GetVectorsResponse:
        request = vectorsearch_pb2.GetVectorsRequest(
            catalog="shop", generation="g1", product_ids=product_ids, **more
        )
        return await channel.call(self.stub.GetVectors, request, timeout_s=60)

    async def is_serving(self) -> bool:
        response = await self.health.Check(health_pb2.HealthCheckRequest())
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, feed_port: int, **settings: Any
) -> AsyncIterator[Running]:
    """A shard as its process runs it, until the end of the block; then drained."""
    started: asyncio.Future[tuple[Host, int]] = asyncio.get_running_loop().create_future()

    class Seen(Host):
        async def start(self) -> int:
            port = await super().start()
            started.set_result((self, port))
            return port

    monkeypatch.setattr(server, "Host", Seen)
    main = asyncio.create_task(
        server.main(
            Settings(
                port=0,
                metrics_port=0,
                data_dir=data_dir,
                feed_target=f"127.0.0.1:{feed_port}",
                feed_backoff_max_s=0.2,
                drain_s=0,
                **settings,
            )
        )
    )
    host, port = await started
    async with channel.connect(f"127.0.0.1:{port}") as connection:
        try:
            yield Running(connection, host)
        finally:
            host.stop()
            await main


def request_for(seed: int, **more: Any) -> Request:
    fields: dict[str, Any] = {"catalog": "shop", "generation": "g1", "limit": 10} | more
    fields.setdefault(
        "queries",
        [
            vectorsearch_pb2.SpaceQuery(
                vector=vector_message(space, unit(seed, space)), weight=1, neutral=0.4
            )
            for space in DIMENSIONS
        ],
    )
    return Request(**fields)


def where(**condition: Any) -> common_pb2.Filter:
    return common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[common_pb2.Condition(**condition)])])


def text(value: str) -> common_pb2.AttributeValue:
    return common_pb2.AttributeValue(text=value)


def grouped(attribute: str, size: int) -> vectorsearch_pb2.GroupBy:
    return vectorsearch_pb2.GroupBy(attribute=attribute, size=size)


@pytest.fixture
async def filled() -> AsyncIterator[tuple[Feed, int]]:
    feed = Feed()
    await feed.add(
        *(
            change_message(
                simple(n, n + 1, colour=["red" if n % 2 else "blue"], price=[float(n)], sale=[n == 3])
            )
            for n in range(20)
        ),
        change_message(
            written(
                "two",
                21,
                photo("front", {"clip": 100}),
                photo("back", {"clip": 101, "triplet": 5}),
                labels={"gender": ("Women", 0.75)},
            )
        ),
    )
    async with serving(feed) as port:
        yield feed, port


async def test_answers_a_search_with_all_that_was_asked_for(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Candidates, cosines, labels, facets, plan, revision and timings are in one response."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        response = await shard.search(
            request_for(
                3,
                filter=where(attribute="colour", equals=text("red")),
                exclude_product_ids=["p5", "p6", "nobody"],
                label_names=["colour", "gender"],
                facet_attributes=["colour", "sale", "price"],
                min_revision=21,
            )
        )
        assert response.candidates.product_ids[0] == "p3"
        assert sorted(response.candidates.product_ids) == sorted(f"p{n}" for n in range(1, 20, 2) if n != 5)
        assert [scores.space for scores in response.candidates.spaces] == list(DIMENSIONS)
        cosines = np.frombuffer(response.candidates.spaces[0].cosines, "<f4")
        assert cosines[0] == pytest.approx(1, abs=1e-6)
        colour, gender = response.candidates.labels
        assert list(colour.values) == ["red"]
        assert set(np.frombuffer(colour.codes, "<i2").tolist()) == {0}
        assert set(np.frombuffer(gender.codes, "<i2").tolist()) == {-1}
        assert [(v.value.text, v.count) for v in response.facets[0].values] == [("red", 9)]
        assert [(v.value.flag, v.count) for v in response.facets[1].values] == [(False, 8), (True, 1)]
        assert response.facets[2].values[0].value.number == 1
        assert (response.plan, response.rows_passed, response.revision) == ("masked", 9, 21)
        assert [stage.stage for stage in response.stages] == ["filter", "search"]
        assert not response.unknown_attributes


async def test_tells_vectors_and_labels_of_products(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product's photos come with their vectors, its labels with probabilities; others are left out."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        response = await shard.get("two", "nobody", label_names=["gender", "colour"], min_revision=21)
        (product,) = response.products
        assert [each.photo_id for each in product.photos] == ["front", "back"]
        assert [vector.space for vector in product.photos[1].vectors] == ["clip", "triplet"]
        decoded = vectors.decode(product.photos[0].vectors[0], field="vector")
        np.testing.assert_array_equal(decoded, unit(100, "clip"))
        assert [(label.name, label.value, label.probability) for label in product.labels] == [
            ("gender", "Women", 0.75)
        ]


async def test_reports_attributes_that_nobody_has(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown attribute is taken as absent and named, in a catalogue without products too."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        asked = {
            "filter": where(attribute="sizes", exists=True, negated=True),
            "facet_attributes": ["fabric"],
            "label_names": ["gender", "shape"],
            "min_revision": 21,
        }
        response = await shard.search(request_for(1, **asked))
        assert list(response.unknown_attributes) == ["sizes", "fabric", "shape"]
        assert response.rows_passed == 22
        response = await shard.search(request_for(1, catalog="elsewhere", **asked))
        assert list(response.unknown_attributes) == ["sizes", "fabric", "gender", "shape"]
        assert (response.plan, len(response.candidates.product_ids)) == ("empty", 0)


Change = Callable[[Request], object]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.ClearField("queries"), "queries"),
        (lambda r: r.queries.extend([r.queries[0]] * 8), "queries"),
        (lambda r: r.queries.append(r.queries[0]), "queries[3].vector.space"),
        (lambda r: r.queries[1].vector.ClearField("space"), "queries[1].vector.space"),
        (lambda r: setattr(r.queries[1].vector, "data", b"abc"), "queries[1].vector.data"),
        (lambda r: setattr(r.queries[1].vector, "data", b"\0" * 8), "queries[1].vector.data"),
        (
            lambda r: setattr(
                r.queries[1].vector, "data", np.full(DIMENSIONS["clip"], 101, dtype="<f4").tobytes()
            ),
            "queries[1].vector.data",
        ),
        (lambda r: setattr(r, "min_score", float("nan")), "min_score"),
        (lambda r: setattr(r, "min_score", -float("inf")), "min_score"),
        (lambda r: setattr(r.queries[0], "weight", 101), "queries[0].weight"),
        (lambda r: setattr(r, "generation", "g" * 129), "generation"),
        (lambda r: setattr(r.queries[1].vector, "space", "s" * 129), "queries[1].vector.space"),
        (lambda r: r.group_by.SetInParent(), "group_by.attribute"),
        (lambda r: r.group_by.MergeFrom(grouped("a", 0)), "group_by.size"),
        (lambda r: r.group_by.MergeFrom(grouped("a", 101)), "group_by.size"),
        (lambda r: setattr(r.queries[0], "weight", -1), "queries[0].weight"),
        (lambda r: setattr(r.queries[0], "weight", float("nan")), "queries[0].weight"),
        (lambda r: setattr(r.queries[0], "neutral", 2), "queries[0].neutral"),
        (lambda r: setattr(r, "limit", 0), "limit"),
        (lambda r: setattr(r, "limit", 1001), "limit"),
        (lambda r: setattr(r, "catalog", "No Shop"), "catalog"),
        (lambda r: setattr(r, "generation", ""), "generation"),
        (lambda r: setattr(r, "min_revision", -1), "min_revision"),
        (lambda r: r.exclude_product_ids.extend(["x"] * 101), "exclude_product_ids"),
        (lambda r: r.label_names.extend(["x"] * 17), "label_names"),
        (lambda r: r.facet_attributes.extend(["x"] * 17), "facet_attributes"),
        (lambda r: r.filter.all_of.add(), "filter.all_of[0].any_of"),
        (lambda r: r.filter.all_of.add().any_of.add(exists=True), "filter.all_of[0].any_of[0].attribute"),
        (lambda r: r.filter.all_of.add().any_of.add(attribute="a"), "filter.all_of[0].any_of[0].test"),
        (
            lambda r: r.filter.all_of.add().any_of.add(attribute="a", equals=common_pb2.AttributeValue()),
            "filter.all_of[0].any_of[0].equals",
        ),
        (
            lambda r: r.filter.all_of.add().any_of.add(attribute="a", equals=text("x" * 257)),
            "filter.all_of[0].any_of[0].equals.text",
        ),
        (
            lambda r: r.filter.all_of.add().any_of.add(
                attribute="a", equals=common_pb2.AttributeValue(number=float("inf"))
            ),
            "filter.all_of[0].any_of[0].equals.number",
        ),
        (
            lambda r: r.filter.all_of.add().any_of.add(attribute="a", **{"in": common_pb2.AttributeValues()}),
            "filter.all_of[0].any_of[0].in.values",
        ),
        (
            lambda r: r.filter.all_of.add().any_of.add(
                attribute="a", range=common_pb2.NumberRange(min=2, max=1)
            ),
            "filter.all_of[0].any_of[0].range.min",
        ),
        (
            lambda r: r.filter.all_of.add().any_of.add(
                attribute="a", range=common_pb2.NumberRange(max=float("nan"))
            ),
            "filter.all_of[0].any_of[0].range.max",
        ),
    ],
)
async def test_bad_input_is_refused_naming_the_field(
    change: Change, field: str, filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is out of its limits is INVALID_ARGUMENT with the path of the field."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        await shard.search(request_for(1, min_revision=21))
        request = request_for(1)
        change(request)
        with pytest.raises(errors.InvalidArgument) as caught:
            await shard.search(request)
        assert caught.value.field == field


async def test_filters_by_every_kind_of_test(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets, ranges, flags and inferred labels reach the core as they were meant."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:

        async def passed(**condition: Any) -> int:
            response = await shard.search(request_for(1, filter=where(**condition), min_revision=21))
            return len(response.candidates.product_ids)

        both = common_pb2.AttributeValues(values=[text("red"), text("green")])
        assert await passed(attribute="colour", **{"in": both}) == 10
        assert await passed(attribute="price", range=common_pb2.NumberRange(min=2, max=4)) == 3
        assert await passed(attribute="price", range=common_pb2.NumberRange(max=4)) == 5
        assert await passed(attribute="sale", equals=common_pb2.AttributeValue(flag=True)) == 1
        assert await passed(attribute="inferred.gender", equals=text("Women")) == 1
        assert await passed(attribute="gender", exists=True) == 0


async def test_a_threshold_and_a_cap_leave_products_out(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing below `min_score` comes, and at most so many of a value; those without a value all come."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        everything = await shard.search(request_for(3, limit=100, min_revision=21))
        assert len(everything.candidates.product_ids) == 21
        close = await shard.search(request_for(3, limit=100, min_score=2.9))
        assert list(close.candidates.product_ids) == ["p3"]
        capped = await shard.search(request_for(3, limit=100, group_by=grouped("colour", 2)))
        of_red = [
            each for each in everything.candidates.product_ids if each[1:].isdigit() and int(each[1:]) % 2
        ]
        assert [each for each in capped.candidates.product_ids if each in of_red] == of_red[:2]
        assert len(capped.candidates.product_ids) == 5
        assert "two" in capped.candidates.product_ids
        unknown = await shard.search(request_for(3, limit=100, group_by=grouped("size", 2)))
        assert list(unknown.unknown_attributes) == ["size"]
        assert len(unknown.candidates.product_ids) == 21


async def test_many_searches_in_one_call_have_an_outcome_each(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with one search is its own status; the others are answered in order."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        foreign = request_for(2, min_revision=21)
        foreign.queries[0].vector.model_digest = "another"
        # What is asked of a search that is refused holds up no other.
        wrong = request_for(5, limit=0, min_revision=1 << 40)
        requests = [request_for(4, min_revision=21), wrong, foreign, request_for(6)]
        response = await channel.call(
            shard.stub.BatchSearchVectors,
            vectorsearch_pb2.BatchSearchVectorsRequest(requests=requests),
            timeout_s=60,
        )
        first, refused, other, last = response.outcomes
        assert first.response.candidates.product_ids[0] == "p4"
        assert refused.status.field == "limit"
        assert other.status.reason == "MODEL_MISMATCH"
        assert not first.HasField("status")
        assert not refused.HasField("response")
        assert last.response.candidates.product_ids[0] == "p6"
        for count in (0, 65):
            with pytest.raises(errors.InvalidArgument) as caught:
                await channel.call(
                    shard.stub.BatchSearchVectors,
                    vectorsearch_pb2.BatchSearchVectorsRequest(requests=[request_for(1)] * count),
                    timeout_s=60,
                )
            assert caught.value.field == "requests"


async def test_counts_values_without_a_query(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facets over all products that pass, how many these are, and which attributes nobody has."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        response = await channel.call(
            shard.stub.CountFacets,
            vectorsearch_pb2.CountFacetsRequest(
                catalog="shop",
                generation="g1",
                filter=where(attribute="price", range=common_pb2.NumberRange(max=4)),
                attributes=["colour", "fabric", "price"],
                min_revision=21,
            ),
            timeout_s=60,
        )
        assert (response.products, response.revision) == (5, 21)
        colour, _, price = response.facets
        assert [(v.value.text, v.count) for v in colour.values] == [("blue", 3), ("red", 2)]
        assert [(each.min, each.max, each.count) for each in price.ranges] == [
            (0, 0, 1),
            (1, 1.5, 1),
            (2, 3, 1),
            (3, 5, 2),
        ]
        assert list(response.unknown_attributes) == ["fabric"]
        for attributes in ([], ["x"] * 17):
            with pytest.raises(errors.InvalidArgument) as caught:
                await channel.call(
                    shard.stub.CountFacets,
                    vectorsearch_pb2.CountFacetsRequest(
                        catalog="shop", generation="g1", attributes=attributes
                    ),
                    timeout_s=60,
                )
            assert caught.value.field == "attributes"


async def test_tells_what_it_holds_and_compacts_when_told(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, dead ones, bytes and spaces by generation; compaction leaves what is not full alone."""
    feed, port = filled
    async with running(monkeypatch, tmp_path, port) as shard:
        await feed.add(deletion_message("p3", 22))
        await shard.search(request_for(1, min_revision=22))
        compacted = await channel.call(
            shard.stub.CompactShard, vectorsearch_pb2.CompactShardRequest(), timeout_s=60
        )
        assert (compacted.segments, compacted.rows) == (0, 0)
        status = await channel.call(
            shard.stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=60
        )
        (catalog,) = status.catalogs
        assert (catalog.catalog, catalog.products, catalog.rows) == ("shop", 20, 21)
        (generation,) = catalog.generations
        assert (generation.generation, generation.rows, generation.dead_rows) == ("g1", 21, 1)
        assert generation.live_bytes == 21 * 4 * sum(DIMENSIONS.values())
        assert generation.memory_bytes >= 22 * 4 * sum(DIMENSIONS.values())
        assert [(index.space, index.dimension, index.model_digest) for index in generation.indexes] == [
            (space, DIMENSIONS[space], f"model-{space}") for space in sorted(DIMENSIONS)
        ]


async def test_a_dropped_catalogue_is_told_of_no_more(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a catalogue has no generation, the status does not name it and searches find nothing in it."""
    feed, port = filled
    async with running(monkeypatch, tmp_path, port) as shard:
        assert (await shard.search(request_for(1, min_revision=feed.head))).candidates.product_ids
        await feed.add(generations_message("shop", feed.head + 1))
        found = await shard.search(request_for(1, min_revision=feed.head))
        assert not found.candidates.product_ids
        status = await channel.call(
            shard.stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=60
        )
        assert not status.catalogs


async def test_vectors_of_another_model_or_generation_are_refused(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be compared is FAILED_PRECONDITION with the reason MODEL_MISMATCH."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        foreign = request_for(1, min_revision=21)
        foreign.queries[0].vector.model_digest = "another"
        for request in (foreign, request_for(1, generation="g2", min_revision=21)):
            with pytest.raises(errors.FailedPrecondition) as caught:
                await shard.search(request)
            assert caught.value.reason == "MODEL_MISMATCH"


async def test_products_asked_for_are_limited(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No product and more than a hundred are refused."""
    async with running(monkeypatch, tmp_path, filled[1]) as shard:
        for product_ids in ([], ["x"] * 101):
            with pytest.raises(errors.InvalidArgument) as caught:
                await shard.get(*product_ids)
            assert caught.value.field == "product_ids"


async def test_a_write_is_seen_by_who_waits_for_it(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search with `min_revision` waits for it, and is told UNAVAILABLE when it does not come in time."""
    feed, port = filled
    async with running(monkeypatch, tmp_path, port) as shard:
        search = asyncio.create_task(shard.search(request_for(3, min_revision=22)))
        await asyncio.sleep(0.1)
        await feed.add(deletion_message("p3", 22))
        assert "p3" not in (await search).candidates.product_ids
        # Nearly all of the time is kept for the answer.
        monkeypatch.setattr(follower, "_ANSWER_S", 59.5)
        with pytest.raises(errors.Unavailable) as caught:
            await shard.search(request_for(3, min_revision=23))
        assert caught.value.reason == "REVISION_NOT_REACHED"


async def test_serves_once_caught_up_and_from_a_snapshot_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new shard is not ready without its feed; one that was drained comes back ready, with all it had."""
    feed = Feed()
    await feed.add(*(change_message(simple(n, n + 1)) for n in range(5)))
    with reserved() as port:
        async with running(monkeypatch, tmp_path, port) as shard:
            assert not await shard.is_serving()
            async with serving(feed, port):
                await shard.search(request_for(1, min_revision=5))
                async with asyncio.timeout(60):
                    while not await shard.is_serving():  # noqa: ASYNC110 - a probe asks again and again
                        await asyncio.sleep(0.01)
        async with running(monkeypatch, tmp_path, port) as shard:
            assert await shard.is_serving()
            response = await shard.search(request_for(1))
            assert response.revision == 5
            assert response.candidates.product_ids[0] == "p1"
            status = await shard.stub.GetShardStatus(vectorsearch_pb2.GetShardStatusRequest())
            (catalog,) = status.catalogs
            assert (catalog.catalog, catalog.products, catalog.rows) == ("shop", 5, 5)
            assert (status.shard, status.shards, status.revision) == (0, 1, 5)
            assert not status.caught_up


async def test_takes_snapshots_as_it_goes_and_survives_a_disk_that_refuses(
    filled: tuple[Feed, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that cannot be written is tried again at the next interval."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a directory should be")
    async with running(monkeypatch, blocked, filled[1], snapshot_interval_s=0.05) as shard:
        await shard.search(request_for(1, min_revision=21))
        await asyncio.sleep(0.3)
        blocked.unlink()
        await until(lambda: bool(list(blocked.glob("*.manifest"))))


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["--shard", "2", "--shards", "2"], "shard 2 is not one of 2"),
        (["--shards", "0"], "SHARDS"),
        (["--index-kinds", "clip=fast"], "'fast' is none of auto, flat"),
        (["--index-kinds", "gpu_flat"], "INDEX_KINDS"),
    ],
)
def test_settings_that_make_no_sense_stop_the_process(
    arguments: list[str], key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process ends at once and says what is wrong."""
    with pytest.raises(SystemExit):
        Settings.load(arguments)
    assert key in capsys.readouterr().err
