from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from services.gateway import paging, query_log
from services.gateway.directory import CatalogDirectory
from services.gateway.query_log import QueryLog, QueryLogFlow
from services.gateway.store.database import SqliteDatabase
from services.gateway.store.interface import CatalogChange, CatalogRecord, Entry, GenerationRecord
from services.gateway.store.query_log import QueryRange
from services.gateway.store.sqlite import SqliteStore
from services.gateway.store.sqlite_queries import SqliteQueryStore
from services.mesh import deadline
from services.mesh.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from tests.gateway.fakes import photo
from tests.gateway.rigs import Rig, image, text
from vitrine.v1 import common_pb2
from vitrine.v1 import queries_pb2 as pb

CATALOG = "catalogs/shop"
# When the catalogue was made: queries from before that were of another one.
CREATED_MS = 5_000
DAY_MS = 86_400_000


class FailingQueries:
    """A query store that can be away."""

    def __init__(self, store: SqliteQueryStore) -> None:
        self._store = store
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            return self._refuse
        return getattr(self._store, name)

    async def _refuse(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("away", reason="STORE_UNAVAILABLE")


@dataclass
class Logging:
    log: QueryLog
    flow: QueryLogFlow
    store: FailingQueries

    async def kept(self) -> list[str]:
        """The ids of what is in the store, sorted."""
        found = await self.store.queries(QueryRange("shop", 0, 10**14), None, 100_000)
        return sorted(query.query_id for query in found)

    async def comes_to_keep(self, *indexes: int) -> None:
        """Wait until these queries are in the store and no others."""
        expected = [query_id(index) for index in indexes]
        deadline_s = time.monotonic() + 60
        while (kept := await self.kept()) != expected:
            assert time.monotonic() < deadline_s, kept
            await asyncio.sleep(0.02)

    async def listed(self, **fields: Any) -> list[str]:
        """The ids that a list of one page tells."""
        response = await self.flow.list_queries(pb.ListQueriesRequest(parent=CATALOG, **fields))
        return [query.query_id for query in response.queries]

    async def feedback(self, query_id: str, product: str = "p1", **fields: Any) -> None:
        fields = {"kind": pb.FEEDBACK_KIND_CLICK, **fields}
        await self.flow.record_feedback(
            pb.RecordFeedbackRequest(catalog=CATALOG, query_id=query_id, product=product, **fields)
        )


@asynccontextmanager
async def opened(data_dir: Path, *, days: int = 30) -> AsyncIterator[Logging]:
    """The log of a gateway, at rest, over a database with one catalogue."""
    async with AsyncExitStack() as stack:
        database = await SqliteDatabase.open(data_dir / "catalog.db")
        stack.push_async_callback(database.close)
        store = SqliteStore(database)
        if not (await store.bounds()).head:
            generation = GenerationRecord(common_pb2.Generation(id="g1"), is_ready=True)
            record = CatalogRecord("shop", "g1", (generation,), CREATED_MS)
            entry = Entry(1, CREATED_MS, catalogs=(CatalogChange("shop", record),))
            await store.append(entry)
            await store.apply(entry)
        queries = FailingQueries(SqliteQueryStore(database))
        log = QueryLog(queries, days=days)
        directory = CatalogDirectory(store, timeout_s=60)
        yield Logging(log, QueryLogFlow(store=queries, log=log, directory=directory), queries)


@pytest.fixture
async def logging(tmp_path: Path) -> AsyncIterator[Logging]:
    async with opened(tmp_path) as made:
        yield made


def query_id(index: int) -> str:
    return f"{index:016x}"


def answered(index: int, *, time_ms: int | None = None, hits: int = 1) -> pb.LoggedQuery:
    query = pb.LoggedQuery(query_id=query_id(index), hit_count=hits)
    query.time.FromMilliseconds(now_ms() if time_ms is None else time_ms)
    return query


def at(time_ms: int) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(time_ms)
    return moment


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("vitrine_gateway_query_log_total", {"outcome": outcome}) or 0.0


async def test_queries_are_written_meanwhile(logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded is in the store a little later, without anybody asking."""
    monkeypatch.setattr(query_log, "FLUSH_EVERY_S", 0.05)
    async with logging.log.running():
        for index in range(3):
            logging.log.record("shop", answered(index))
        assert all(logging.log.holds("shop", query_id(index)) for index in range(3))
        await logging.comes_to_keep(0, 1, 2)


async def test_queries_are_written_at_the_end(logging: Logging) -> None:
    """What waits when the gateway stops is written."""
    async with logging.log.running():
        for index in range(query_log.MAX_BATCH + 5):
            logging.log.record("shop", answered(index))
    assert len(await logging.kept()) == query_log.MAX_BATCH + 5


async def test_a_list_holds_what_was_just_answered(logging: Logging) -> None:
    """A list or a sum tells of every query that this gateway has answered."""
    logging.log.record("shop", answered(1))
    assert await logging.listed() == [query_id(1)]
    logging.log.record("shop", answered(2, hits=0))
    stats = await logging.flow.query_stats(pb.QueryStatsRequest(parent=CATALOG))
    assert (stats.query_count, stats.zero_result_count) == (2, 1)


async def test_a_store_that_is_away_loses_nothing_at_first(
    logging: Logging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries wait for the store, however often it fails, and are written once it is back."""
    monkeypatch.setattr(query_log, "FLUSH_EVERY_S", 0.01)
    monkeypatch.setattr(query_log, "LONGEST_PAUSE_S", 0.05)
    logging.store.is_away = True
    async with logging.log.running():
        for index in range(5):
            logging.log.record("shop", answered(index))
            await asyncio.sleep(0.02)
        assert logging.log.holds("shop", query_id(0))
        logging.store.is_away = False
        await logging.comes_to_keep(0, 1, 2, 3, 4)


async def test_the_oldest_are_dropped(logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more waits than may, the oldest is dropped and counted; recording goes on."""
    monkeypatch.setattr(query_log, "MAX_WAITING", 3)
    dropped = counted("dropped")
    kept = counted("kept")
    for index in range(5):
        logging.log.record("shop", answered(index, time_ms=10_000 + index))
    await logging.log.flush()
    assert await logging.kept() == [query_id(2), query_id(3), query_id(4)]
    assert counted("dropped") - dropped == 2
    assert counted("kept") - kept == 3


async def test_what_cannot_be_written_at_the_end_is_told(logging: Logging) -> None:
    """A gateway that stops while the store is away ends all the same, and counts what is lost."""
    dropped = counted("dropped")
    logging.store.is_away = True
    async with logging.log.running():
        logging.log.record("shop", answered(1))
    assert counted("dropped") - dropped == 1


async def test_old_queries_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries are removed when they are as old as the setting says, and no others."""
    monkeypatch.setattr(query_log, "TRIM_BATCH", 2)
    monkeypatch.setattr(query_log, "TRIM_PAUSE_S", 0.0)
    async with opened(tmp_path, days=2) as logging:
        for index in range(7):
            age_ms = DAY_MS * index // 2 + 60_000
            await logging.store.add("shop", [answered(index, time_ms=now_ms() - age_ms)])
        async with logging.log.running():
            await logging.comes_to_keep(0, 1, 2, 3)


async def test_with_the_log_off_nothing_is_kept(tmp_path: Path) -> None:
    """With the log off lists are empty and feedback is taken and forgotten; what there was is removed."""
    async with opened(tmp_path) as logging:
        logging.log.record("shop", answered(1))
        await logging.log.flush()
    async with opened(tmp_path, days=0) as logging:
        logging.log.record("shop", answered(2))
        assert await logging.listed() == []
        assert (await logging.flow.query_stats(pb.QueryStatsRequest(parent=CATALOG))).query_count == 0
        await logging.feedback(query_id(1))
        with pytest.raises(NotFound):
            await logging.flow.list_queries(pb.ListQueriesRequest(parent="catalogs/none"))
        async with logging.log.running():
            await logging.comes_to_keep()


async def test_feedback_comes_with_its_query(logging: Logging) -> None:
    """Feedback for a query that is not written yet is kept too, with its time, and once."""
    logging.log.record("shop", answered(1))
    before_ms = now_ms()
    await logging.feedback(query_id(1), place=3)
    await logging.feedback(query_id(1), f"{CATALOG}/products/p1", place=3)
    await logging.feedback(query_id(1), "p2", kind=pb.FEEDBACK_KIND_PURCHASE)
    [query] = (await logging.flow.list_queries(pb.ListQueriesRequest(parent=CATALOG))).queries
    assert [(each.product, each.kind, each.place) for each in query.feedback] == [
        ("p1", pb.FEEDBACK_KIND_CLICK, 3),
        ("p2", pb.FEEDBACK_KIND_PURCHASE, 0),
    ]
    assert before_ms <= query.feedback[0].time.ToMilliseconds() <= now_ms()


async def test_feedback_needs_a_query(logging: Logging) -> None:
    """Feedback for a query that nobody made, or that is too old, is refused with its own reason."""
    with pytest.raises(NotFound) as refused:
        await logging.feedback(query_id(1))
    assert refused.value.reason == "QUERY_UNKNOWN"
    with pytest.raises(NotFound) as refused:
        await logging.flow.record_feedback(
            pb.RecordFeedbackRequest(
                catalog="catalogs/none", query_id=query_id(1), product="p", kind=pb.FEEDBACK_KIND_LIKE
            )
        )
    assert refused.value.reason == "NOT_FOUND"


@pytest.mark.parametrize(
    ("field", "value", "at_fault"),
    [
        ("catalog", "shop", "catalog"),
        ("query_id", "", "query_id"),
        ("query_id", "x" * 16, "query_id"),
        ("product", "", "product"),
        ("product", "a b", "product"),
        ("product", "catalogs/other/products/p1", "product"),
        ("kind", pb.FEEDBACK_KIND_UNSPECIFIED, "kind"),
        ("kind", 99, "kind"),
        ("place", -1, "place"),
        ("place", 2_000_000, "place"),
    ],
)
async def test_wrong_feedback_is_refused(logging: Logging, field: str, value: Any, at_fault: str) -> None:
    """What is wrong with a feedback is named."""
    logging.log.record("shop", answered(1))
    right = {"catalog": CATALOG, "query_id": query_id(1), "product": "p1", "kind": pb.FEEDBACK_KIND_LIKE}
    with pytest.raises(InvalidArgument) as refused:
        await logging.flow.record_feedback(pb.RecordFeedbackRequest(**{**right, field: value}))
    assert refused.value.field == at_fault


async def test_feedback_waits_for_the_store(logging: Logging) -> None:
    """Feedback while the store is away is refused as such, so that it can be given again."""
    logging.log.record("shop", answered(1))
    logging.store.is_away = True
    with pytest.raises(Unavailable):
        await logging.feedback(query_id(1))
    logging.store.is_away = False
    await logging.feedback(query_id(1))


async def test_pages_hold_every_query_once(logging: Logging) -> None:
    """Pages go on where the one before ended, also while new queries are answered."""
    for index in range(7):
        logging.log.record("shop", answered(index, time_ms=10_000 + index // 2))
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListQueriesRequest(parent=CATALOG, page_size=2, page_token=token)
        page = await logging.flow.list_queries(request)
        found += [query.query_id for query in page.queries]
        logging.log.record("shop", answered(100 + len(found), time_ms=20_000 + len(found)))
        token = page.next_page_token
        if not token:
            break
    assert found == [query_id(index) for index in (6, 4, 5, 2, 3, 0, 1)]


async def test_a_token_is_for_its_list(logging: Logging) -> None:
    """A page token goes with the request that it came from, and nothing else is one."""
    for index in range(4):
        logging.log.record("shop", answered(index, hits=0))
    request = pb.ListQueriesRequest(parent=CATALOG, page_size=2, zero_results_only=True)
    token = (await logging.flow.list_queries(request)).next_page_token
    assert len(await logging.listed(page_size=3, zero_results_only=True, page_token=token)) == 2
    for wrong in (
        {"page_token": token},
        {"page_token": token, "zero_results_only": True, "start_time": at(6_000)},
        {"page_token": token[:-2], "zero_results_only": True},
        {"page_token": paging.encode_after(f"{CATALOG}/queries 0 253402300800000 False", "x")},
    ):
        with pytest.raises(InvalidArgument) as refused:
            await logging.listed(**wrong)
        assert refused.value.field == "page_token"


async def test_lists_are_of_a_time(logging: Logging) -> None:
    """A list holds the queries from its start up to its end, and none from before the catalogue was made."""
    for time_ms in (CREATED_MS - 1, CREATED_MS, 7_000, 8_000, 9_000):
        logging.log.record("shop", answered(time_ms, time_ms=time_ms))
    assert await logging.listed(start_time=at(7_000), end_time=at(9_000)) == [
        query_id(8_000),
        query_id(7_000),
    ]
    assert await logging.listed(end_time=at(7_000)) == [query_id(CREATED_MS)]
    assert await logging.listed(start_time=at(9_001)) == []


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"parent": "shop"}, "parent"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 1_001}, "page_size"),
        ({"start_time": at(2_000), "end_time": at(1_000)}, "end_time"),
        ({"start_time": Timestamp(seconds=1 << 62)}, "start_time"),
        ({"end_time": Timestamp(nanos=-1)}, "end_time"),
    ],
)
async def test_wrong_lists_are_refused(logging: Logging, fields: dict[str, Any], at_fault: str) -> None:
    """What is wrong with a request is named, whether it lists queries or sums them up."""
    with pytest.raises(InvalidArgument) as refused:
        await logging.flow.list_queries(pb.ListQueriesRequest(**{"parent": CATALOG, **fields}))
    assert refused.value.field == at_fault
    if "page_size" not in fields:
        with pytest.raises(InvalidArgument) as refused:
            await logging.flow.query_stats(pb.QueryStatsRequest(**{"parent": CATALOG, **fields}))
        assert refused.value.field == at_fault


async def test_sums_are_of_a_day_unless_said(logging: Logging) -> None:
    """A sum is over the last 24 hours, or over the times that it names."""
    for index, age_ms in enumerate((0, DAY_MS // 2, DAY_MS + 60_000)):
        logging.log.record("shop", answered(index, time_ms=now_ms() - age_ms))
    stats = logging.flow.query_stats
    assert (await stats(pb.QueryStatsRequest(parent=CATALOG))).query_count == 2
    old = pb.QueryStatsRequest(parent=CATALOG, start_time=at(0), end_time=at(now_ms() - DAY_MS))
    assert (await stats(old)).query_count == 1
    assert (await stats(pb.QueryStatsRequest(parent=CATALOG, end_time=old.end_time))).query_count == 1


async def test_sums_are_bounded(logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many queries the newest are summed up, page by page."""
    monkeypatch.setattr(query_log, "MAX_SUMMED", 10)
    monkeypatch.setattr(query_log, "SUMMED_PAGE", 4)
    newest_ms = now_ms()
    for index in range(15):
        logging.log.record("shop", answered(index, time_ms=newest_ms - index, hits=int(index < 9)))
    stats = await logging.flow.query_stats(pb.QueryStatsRequest(parent=CATALOG))
    assert (stats.query_count, stats.zero_result_count) == (10, 1)


async def test_nobody_sums_for_those_who_left(logging: Logging) -> None:
    """A sum ends when its deadline has passed."""
    logging.log.record("shop", answered(1))
    with deadline.within(0.0), pytest.raises(DeadlineExceeded):
        await logging.flow.query_stats(pb.QueryStatsRequest(parent=CATALOG))


async def test_searches_are_logged_without_their_photos(rig: Rig) -> None:
    """What was searched for is in the log of the gateway, and of a photo only that there was one."""
    await rig.fill(3)
    found = await rig.search(image(photo(1), weight=1), text("red dress", weight=1), k=2)
    request = pb.ListQueriesRequest(parent=CATALOG)
    [query] = (await rig.gateway.queries.list_queries(request)).queries
    assert query.query_id == found.query_id
    assert (list(query.texts), query.image_count, query.hit_count) == (["red dress"], 1, 2)
    assert photo(1) not in query.SerializeToString()
    feedback = pb.RecordFeedbackRequest(
        catalog=CATALOG,
        query_id=found.query_id,
        product=found.hits[1].product.name,
        kind=pb.FEEDBACK_KIND_PURCHASE,
        place=2,
    )
    await rig.gateway.queries.record_feedback(feedback)
    stats = await rig.gateway.queries.query_stats(pb.QueryStatsRequest(parent=CATALOG))
    assert (stats.query_count, stats.engaged_count, stats.mean_reciprocal_rank) == (1, 1, 0.5)
