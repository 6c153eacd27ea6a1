from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, expect

from services.mesh.errors import Unavailable
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.visits import CONSOLE_VIEWS
from vitrine.v1 import queries_pb2, search_pb2

Asked = TypeVar("Asked", queries_pb2.ListQueriesRequest, queries_pb2.QueryStatsRequest)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def open_queries(page: Page) -> None:
    """Open the view and wait for the sum that it shows, or for that there is none."""
    await page.goto("/console/?catalog=demo#queries")
    await expect(page.locator(CONSOLE_VIEWS["queries"]).first).to_be_visible()


def figure(page: Page, name: str) -> Locator:
    """The value of a figure by its name."""
    term = page.get_by_role("term").filter(has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(".figures > div").filter(has=term).get_by_role("definition")


def recent(page: Page) -> Locator:
    """The table of recent searches."""
    return page.get_by_role("table", name=re.compile("^Recent searches"))


def log(site: Site, queries: Iterable[queries_pb2.LoggedQuery]) -> None:
    """Let these be the queries that the log has, the newest first."""
    site.flows.queries.log = list(queries)
    for query in site.flows.queries.log:
        query.time.FromSeconds(1_700_000_000)


def asked(site: Site, kind: type[Asked]) -> list[Asked]:
    """The requests of a kind that the flow was asked."""
    return [one for one in site.flows.queries.asked if isinstance(one, kind)]


async def test_the_sum_is_in_figures(page: Page, site: Site) -> None:
    """Counts become shares, times have units, and the mean reciprocal rank is explained."""
    site.flows.queries.stats = queries_pb2.QueryStatsResponse(
        query_count=1840,
        zero_result_count=221,
        cached_count=700,
        degraded_count=12,
        engaged_count=333,
        latency_p50_ms=21.5,
        latency_p95_ms=88,
        latency_p99_ms=1204,
        mean_reciprocal_rank=0.412,
    )
    await open_queries(page)
    for name, value in (
        ("Searches", "1,840"),
        ("Found nothing", "12%"),
        ("From the cache", "38%"),
        ("Incomplete", "1%"),
        ("Led to a click or purchase", "18%"),
        ("Half took less than", "22\u00a0ms"),
        ("95 of 100 took less than", "88\u00a0ms"),
        ("99 of 100 took less than", "1.2\u00a0s"),
        ("Mean reciprocal rank", "0.41"),
    ):
        await expect(figure(page, name)).to_have_text(re.compile("^" + re.escape(value)))
    await expect(figure(page, "Mean reciprocal rank")).to_contain_text(
        "1 when the first hit is always the one chosen"
    )


@pytest.mark.parametrize(("name", "hours"), [("Last hour", 1), ("Last week", 168)])
async def test_the_time_is_chosen(page: Page, site: Site, name: str, hours: int) -> None:
    """The sum and the list are of the time that was chosen; at first it is the last day."""
    await open_queries(page)
    await expect(page.get_by_role("radio", name="Last day")).to_be_checked()
    first = asked(site, queries_pb2.QueryStatsRequest)[-1].start_time.seconds
    async with page.expect_response("**/queries:stats**"), page.expect_response("**/queries?**"):
        await page.get_by_role("radio", name=name).check()
    for requests in (asked(site, queries_pb2.QueryStatsRequest), asked(site, queries_pb2.ListQueriesRequest)):
        since = requests[-1].start_time.seconds
        assert since - first == pytest.approx((24 - hours) * 3600, abs=600)


async def test_words_lead_to_the_shop(page: Page, site: Site) -> None:
    """What was searched most, and what in vain, is counted and links to that search."""
    site.flows.queries.stats.top_zero_result_texts.add(text="umbrella & hat", count=3)
    await open_queries(page)
    table = page.get_by_role("table", name="Searched without success")
    row = table.get_by_role("row", name=re.compile("^umbrella"))
    await expect(row.get_by_role("cell").last).to_have_text("3")
    address = await row.get_by_role("link").get_attribute("href")
    assert address
    assert parse_qs(urlsplit(address).query) == {"catalog": ["demo"], "q": ["umbrella & hat"]}
    await page.get_by_role("table", name="Searched most").get_by_role("link", name="red").click()
    await expect(page.get_by_role("searchbox")).to_have_value("red")
    await expect(page.locator(".hit h3").first).to_be_visible()


async def test_recent_searches_tell_all_that_is_known(page: Page, site: Site) -> None:
    """A row says what was searched for and how, how it went and what came of it."""
    whole = queries_pb2.LoggedQuery(
        query_id="q2",
        texts=["red shoes"],
        products=["bag-red-men"],
        image_count=2,
        profile="similar",
        filtered=True,
        page=1,
        hit_count=10,
        best_similarity=71.4,
        latency_ms=12.5,
        cache=search_pb2.CACHE_OUTCOME_HIT,
        degraded=["shard:1"],
    )
    for kind in (
        queries_pb2.FEEDBACK_KIND_CLICK,
        queries_pb2.FEEDBACK_KIND_CLICK,
        queries_pb2.FEEDBACK_KIND_PURCHASE,
    ):
        whole.feedback.add(product="4711", kind=kind).time.FromSeconds(1_700_000_001)
    log(site, [whole])
    await open_queries(page)
    row = recent(page).get_by_role("row").last
    head = row.get_by_role("rowheader")
    await expect(head).to_contain_text("similar · with filters · further page")
    await expect(head).to_contain_text("2 photos")
    address = await head.get_by_role("link", name="like bag-red-men").get_attribute("href")
    assert address == "/?catalog=demo&like=bag-red-men"
    await expect(row.get_by_role("cell")).to_have_text(
        [
            re.compile("days ago"),
            "10",
            "71",
            "13\u00a0ms",
            "from the cacheincomplete: shard:1",
            "2 clicks, 1 purchase",
        ]
    )


async def test_only_those_without_a_result(page: Page, site: Site) -> None:
    """The list can be of what found nothing, and says so where everything found something."""
    log(
        site,
        [
            queries_pb2.LoggedQuery(query_id="q1", texts=["red"], hit_count=10),
            queries_pb2.LoggedQuery(query_id="q2", texts=["umbrella"]),
        ],
    )
    await open_queries(page)
    await expect(recent(page).get_by_role("row")).to_have_count(3)
    only = page.get_by_role("checkbox", name="Only those that found nothing")
    await only.check()
    await expect(recent(page).get_by_role("row")).to_have_count(2)
    await expect(recent(page)).to_contain_text("umbrella")
    log(site, site.flows.queries.log[:1])
    await only.uncheck()
    await only.check()
    await expect(page.get_by_text("Every search found something")).to_be_visible()


async def test_older_searches_are_added(page: Page, site: Site) -> None:
    """The button adds the next page of the same time, the focus goes on when it is the last one."""
    log(
        site,
        (queries_pb2.LoggedQuery(query_id=f"q{i}", texts=[f"words {i}"], hit_count=1) for i in range(120)),
    )
    await open_queries(page)
    older = page.get_by_role("button", name="Older searches")
    await expect(page.get_by_text("50 searches shown")).to_be_visible()
    await older.click()
    await expect(page.get_by_text("100 searches shown")).to_be_visible()
    await expect(older).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("120 searches shown")).to_be_visible()
    await expect(older).to_be_hidden()
    await expect(recent(page).get_by_role("link", name="words 100", exact=True)).to_be_focused()
    words = await recent(page).get_by_role("link").all_inner_texts()
    assert words == [f"words {i}" for i in range(120)]
    pages = asked(site, queries_pb2.ListQueriesRequest)
    assert [one.page_token for one in pages] == ["", "50", "100"]
    assert len({one.start_time.ToMicroseconds() for one in pages}) == 1


async def test_nothing_was_searched(page: Page, site: Site) -> None:
    """Without queries the view says so, and that the log may be off."""
    site.flows.queries.stats = queries_pb2.QueryStatsResponse()
    log(site, [])
    await open_queries(page)
    await expect(page.get_by_text("Nothing was searched in this time")).to_be_visible()
    await expect(page.get_by_text("query_log_days")).to_be_visible()
    await expect(page.get_by_role("heading", name="Recent searches")).to_be_hidden()


async def test_a_failure_is_told_and_what_was_there_stays(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice that cannot be answered is explained above, with the former figures still there."""

    async def refuse(_: object) -> None:
        raise Unavailable("the store is away")

    await open_queries(page)
    await expect(figure(page, "Searches")).to_have_text("1")
    monkeypatch.setattr(site.flows.queries, "query_stats", refuse)
    await page.get_by_role("radio", name="Last week").check()
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("A service is away")
    await expect(figure(page, "Searches")).to_have_text("1")
