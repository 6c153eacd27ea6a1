from __future__ import annotations

import re

import pytest
from google.protobuf.message import Message
from playwright.async_api import Browser, Locator, Page, Request, expect

from services.mesh.errors import FailedPrecondition, PermissionDenied, Unavailable, VitrineError
from tests.browser import visitor
from tests.gateway.http.conftest import Site
from tests.gateway.http.fakes import DIGESTS
from tests.gateway.http.page.test_accessibility import expect_accessible
from tests.gateway.http.page.visits import CONSOLE_VIEWS
from vitrine.v1 import catalog_pb2, status_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

PERIOD_MS = 5000


async def open_console(page: Page, view: str = "overview", catalog: str = "demo") -> None:
    """Open a view of the console and wait for what it shows."""
    await page.goto(f"/console/?catalog={catalog}#{view}")
    await expect(page.locator("#view > *").first).to_be_visible()


def health(page: Page) -> Locator:
    """The answer to whether all is well."""
    return page.locator(".health")


def mend(site: Site) -> None:
    """Let all be well with the mesh: what lags has caught up, what is away answers."""
    for replica in site.flows.status.told.replicas:
        replica.state, replica.lag = status_pb2.REPLICA_STATE_CAUGHT_UP, 0
    for dependency in site.flows.status.told.dependencies:
        dependency.available, dependency.problem = True, ""
    for model in site.flows.status.models:
        model.unavailable_reason, model.spec.model_digest = "", DIGESTS[model.spec.space]


def add_generation(
    site: Site, name: str, state: catalog_pb2.GenerationState.ValueType, *, count: int = 60, problem: str = ""
) -> None:
    """Give the catalogue another generation."""
    made = catalog_pb2.GenerationStatus(state=state, product_count=count, problem=problem)
    made.generation.id = name
    site.flows.catalog.generations.append(made)


def asked_of_generations(site: Site) -> list[Message]:
    """What the page asked to be done with generations."""
    return [one for one in site.flows.catalog.asked if "Generation" in one.DESCRIPTOR.name]


async def test_what_needs_attention_comes_first(page: Page) -> None:
    """What is amiss is listed in words, the worst first, each with what the gateway itself says of it."""
    await open_console(page)
    await expect(health(page).get_by_role("heading")).to_have_text("4 things need attention")
    lines = health(page).get_by_role("listitem")
    await expect(lines).to_have_text(
        [
            re.compile("The embedder has no model for clip, which searches use.*no weights of clip"),
            re.compile(r"The shared cache does not answer.*has not answered within 1 s"),
            re.compile(r"10\.0\.0\.2:50060, a replica of shard 1 of 2, is catching up: 318 changes to go\."),
            re.compile(r"10\.0\.0\.4:50060, a replica of shard 2 of 2, does not answer"),
        ]
    )
    await lines.first.get_by_role("link", name="See the models").click()
    await expect(page).to_have_url(re.compile("#models$"))


async def test_all_is_well(page: Page, site: Site) -> None:
    """Where nothing is amiss the first line says so."""
    mend(site)
    await open_console(page)
    await expect(health(page).get_by_role("heading")).to_have_text("All is well")


async def test_a_shard_without_a_replica_that_answers_is_the_worst(page: Page, site: Site) -> None:
    """Where no replica of a shard answers, its products are missing; the replicas are not told one by one."""
    mend(site)
    for replica in site.flows.status.told.replicas[2:]:
        replica.state = status_pb2.REPLICA_STATE_UNSPECIFIED
    await open_console(page)
    lines = health(page).get_by_role("listitem")
    await expect(lines).to_have_text(["Shard 2 of 2 does not answer: its products are missing from results."])


async def test_a_set_that_is_filled_for_later_may_be_behind(page: Page, site: Site) -> None:
    """Shards that searches do not go to yet are no concern while they catch up."""
    mend(site)
    later = site.flows.status.told.replicas.add(
        set="next_shards", target="10.0.0.9:50060", state=status_pb2.REPLICA_STATE_CATCHING_UP, lag=900
    )
    await open_console(page)
    await expect(health(page).get_by_role("heading")).to_have_text("All is well")
    row = page.get_by_role("row", name=re.compile(later.target))
    await expect(row).to_contain_text("Next")
    await expect(row).to_contain_text("900 changes")


@pytest.mark.parametrize(("lag", "title"), [(99, "All is well"), (100, "1 thing needs attention")])
async def test_a_shard_may_be_behind_by_what_was_just_written(
    page: Page, site: Site, lag: int, title: str
) -> None:
    """A replica that has caught up is told of when it is behind by a hundred changes."""
    mend(site)
    site.flows.status.told.replicas[0].lag = lag
    await open_console(page)
    await expect(health(page).get_by_role("heading")).to_have_text(title)


async def test_searches_that_find_nothing_need_attention(page: Page, site: Site) -> None:
    """A large share of searches without a result is told, with the way to them."""
    mend(site)
    site.flows.queries.stats.query_count, site.flows.queries.stats.zero_result_count = 200, 24
    await open_console(page)
    await expect(health(page).get_by_role("listitem")).to_have_text(
        ["12% of the searches of the last hour found nothing. See the queries"]
    )


async def test_a_model_that_searches_do_not_use_needs_a_new_generation(page: Page, site: Site) -> None:
    """Where the embedder serves other weights than the active generation has, the way out is told."""
    mend(site)
    site.flows.status.models[0].spec.model_digest = "ee" * 32
    await open_console(page)
    await expect(health(page)).to_contain_text("another model for resnet50 than searches use")


async def test_shards_are_a_table(page: Page) -> None:
    """Each replica has a row with its state as a word and its numbers."""
    await open_console(page)
    table = page.get_by_role("table", name="Shards and their replicas")
    await expect(table.get_by_role("row")).to_have_count(5)
    await expect(page.get_by_text("Products and photos are those of all catalogues")).to_be_visible()
    row = table.get_by_role("row", name=re.compile(r"10\.0\.0\.2"))
    await expect(row.get_by_role("cell")).to_have_text(
        ["In use", "1 of 2", "Catching up", "318 changes", "0", "3,300", "3,480", "23 MB", "sq8"]
    )


async def test_services_tell_whether_they_answer(page: Page) -> None:
    """A service that answers has its time, one that does not the reason."""
    await open_console(page)
    table = page.get_by_role("table", name="The services that the gateway stands on")
    await expect(table.get_by_role("row", name=re.compile("^Embedder")).get_by_role("cell")).to_have_text(
        ["Answers", "1.3\u00a0ms"]
    )
    await expect(table.get_by_role("row", name=re.compile("^Shared cache")).get_by_role("cell")).to_have_text(
        [re.compile("Does not answer.*has not answered within 1 s"), "–"]
    )


async def test_stages_are_drawn_in_proportion(page: Page) -> None:
    """A bar is as long as its share of the slowest p99, and its numbers stand beside it."""
    await open_console(page)
    row = page.get_by_role("table", name=re.compile("^Stages")).get_by_role(
        "row", name=re.compile("^Embedding")
    )
    await expect(row.get_by_role("cell")).to_have_text(
        ["", "9.5\u00a0ms", "17\u00a0ms", "31\u00a0ms", "1,000"]
    )
    widths = {
        name: await row.locator(f".bar.{name}").last.evaluate(
            "(bar) => bar.offsetWidth / bar.parentElement.offsetWidth"
        )
        for name in ("p50", "p95", "p99")
    }
    assert widths["p99"] == pytest.approx(1, abs=0.02)
    assert widths["p50"] == pytest.approx(9.5 / 31, abs=0.02)
    assert widths["p95"] == pytest.approx(17.25 / 31, abs=0.02)


async def test_the_cache_tells_what_it_saves(page: Page) -> None:
    """Searches have shares by where their answer came from, lookups a hit rate."""
    await open_console(page)
    searches = page.get_by_role("table", name=re.compile("^Searches since"))
    await expect(
        searches.get_by_role("row", name=re.compile("^From the cache")).get_by_role("cell")
    ).to_have_text(["", "33%", "6,054"])
    lookups = page.get_by_role("table", name=re.compile("^Lookups"))
    await expect(
        lookups.get_by_role("row", name=re.compile("^Answers, in Redis")).get_by_role("cell")
    ).to_have_text(["7%", "812", "11,301", "4", "59", "13\u00a0s"])


async def test_the_numbers_are_read_again_in_place(page: Page, site: Site) -> None:
    """New numbers replace the old ones, and neither focus nor scroll nor selection moves."""
    add_generation(site, "g2", catalog_pb2.GENERATION_STATE_READY)
    await page.clock.install()
    await open_console(page)
    button = page.get_by_role("button", name="Delete")
    await button.focus()
    before = await page.evaluate("scrollBy(0, 300), scrollY")
    assert before > 0
    site.flows.status.told.replicas[0].products = 4711
    await page.clock.fast_forward(PERIOD_MS)
    await expect(page.get_by_role("table", name="Shards and their replicas")).to_contain_text("4,711")
    await expect(button).to_be_focused()
    assert await page.evaluate("scrollY") == before


async def test_nothing_is_read_while_nobody_looks(page: Page) -> None:
    """A page in the background asks nothing, and asks at once when it is looked at again."""
    await page.clock.install()
    await open_console(page)
    await expect(health(page)).to_contain_text("attention")
    await hide(page, "hidden")
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.clock.run_for(60_000)
    assert asked == []
    async with page.expect_request("**/v1/status"):
        await hide(page, "visible")


async def hide(page: Page, state: str) -> None:
    """Tell the page that it is looked at, or not any more."""
    await page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { configurable: true, value: state });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


async def test_the_last_numbers_stay_when_reading_fails(page: Page, site: Site) -> None:
    """A failing refresh keeps what was read and says since when; the next good one says so too."""
    await page.clock.install()
    await open_console(page)
    await expect(page.get_by_text(re.compile("^As of "))).to_be_visible()
    site.flows.status.error = Unavailable("no shard answered")
    await page.clock.fast_forward(PERIOD_MS)
    await expect(page.get_by_text(re.compile("^These numbers are of .*: A service is away"))).to_be_visible()
    await expect(page.get_by_role("table", name="Shards and their replicas")).to_be_visible()
    site.flows.status.error = None
    await page.clock.fast_forward(PERIOD_MS)
    await expect(page.get_by_text(re.compile("^As of "))).to_be_visible()


async def test_an_overview_that_cannot_be_read_says_so(page: Page, site: Site) -> None:
    """Where no status came the page claims nothing, and shows the problem and the catalogue."""
    site.flows.status.error = Unavailable("the mesh is being set up")
    await page.clock.install()
    await open_console(page)
    await expect(health(page).get_by_role("heading")).to_have_text("It cannot be told whether all is well")
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("A service is away")
    await expect(page.get_by_role("heading", name="Generation g1")).to_be_visible()
    site.flows.status.error = None
    await page.clock.fast_forward(PERIOD_MS)
    await expect(health(page).get_by_role("heading")).to_have_text("4 things need attention")
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_generation_is_built_after_asking(page: Page, site: Site) -> None:
    """The dialog says what happens; going on shows how far the new generation is."""
    await open_console(page)
    build = page.get_by_role("button", name="Build a new one")
    await build.click()
    dialog = page.get_by_role("dialog", name="Build a new generation?")
    for sentence in (
        "All 60 products are embedded again",
        "may take hours",
        "It goes on in the background, and searches go on with g1",
        "has the same models already, this is refused",
    ):
        await expect(dialog).to_contain_text(sentence)
    await expect_accessible(page)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(build).to_be_focused()
    assert asked_of_generations(site) == []
    await build.click()
    await dialog.get_by_role("button", name="Build it").click()
    new = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Generation g2"))
    await expect(new).to_contain_text("0 of 60 products embedded (0%)")
    await expect(build).to_be_disabled()
    await expect(page.get_by_role("heading", name="Generations")).to_be_focused()


async def test_a_generation_that_is_being_built_tells_how_far_it_is(page: Page, site: Site) -> None:
    """Its progress is a bar with words, and what holds it up is told there and above."""
    add_generation(site, "g2", catalog_pb2.GENERATION_STATE_BUILDING, count=15, problem="no embedder")
    await open_console(page)
    bar = page.get_by_role("progressbar", name="Products embedded")
    await expect(bar).to_have_attribute("value", "15")
    await expect(bar).to_have_attribute("max", "60")
    await expect(page.get_by_text("15 of 60 products embedded (25%)")).to_be_visible()
    await expect(page.get_by_text("It does not go on for now: no embedder")).to_be_visible()
    await expect(health(page)).to_contain_text("Generation g2 is stuck.")


@pytest.mark.parametrize(
    ("name", "sure", "kind", "sentence"),
    [
        ("Use it", "Use g2", catalog_pb2.ActivateGenerationRequest, "Within a second all searches use g2"),
        ("Delete", "Delete g2", catalog_pb2.DeleteGenerationRequest, "Its vectors are deleted everywhere"),
    ],
)
async def test_a_generation_is_used_or_deleted_after_asking(
    page: Page, site: Site, name: str, sure: str, kind: type, sentence: str
) -> None:
    """Each has its own words, and reaches the API only when confirmed."""
    add_generation(site, "g2", catalog_pb2.GENERATION_STATE_READY)
    await open_console(page)
    await page.get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(sentence)
    await dialog.get_by_role("button", name=sure).click()
    await expect(dialog).to_be_hidden()
    assert asked_of_generations(site) == [kind(name="catalogs/demo/generations/g2")]


async def test_deleting_begins_on_the_way_out(page: Page, site: Site) -> None:
    """Enter pressed in haste deletes nothing."""
    add_generation(site, "g2", catalog_pb2.GENERATION_STATE_READY)
    await open_console(page)
    await page.get_by_role("button", name="Delete").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    assert asked_of_generations(site) == []


async def test_a_refusal_is_told_in_the_dialog(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused is explained by its reason, and the dialog stays for another try."""

    async def refuse(_: object) -> None:
        raise FailedPrecondition("the newest generation has the same", reason="SAME_GENERATION")

    monkeypatch.setattr(site.flows.catalog, "create_generation", refuse)
    await open_console(page)
    await page.get_by_role("button", name="Build a new one").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Build it").click()
    await expect(dialog.get_by_role("alert")).to_contain_text(
        "already has the models that the embedder serves"
    )
    await expect(dialog.get_by_role("button", name="Build it")).to_be_enabled()


async def test_views_are_links(page: Page) -> None:
    """The view in sight is marked, has focus and title, and the back button returns to the one before."""
    await open_console(page)
    tabs = page.get_by_role("navigation", name="Views")
    await tabs.get_by_role("link", name="Models").click()
    await expect(tabs.locator("[aria-current=page]")).to_have_text("Models")
    await expect(page.locator("#view")).to_be_focused()
    await expect(page).to_have_title("Models · Console · Vitrine")
    await page.go_back()
    await expect(tabs.locator("[aria-current=page]")).to_have_text("Overview")
    await expect(health(page)).to_be_visible()


async def test_another_catalogue_is_chosen(page: Page) -> None:
    """The choice stays in the address, and a catalogue without products says how to get some."""
    await open_console(page)
    await page.get_by_label("Catalogue").select_option("other")
    await expect(page).to_have_url(re.compile(r"\?catalog=other#overview$"))
    await expect(page.get_by_text("This catalogue has no products yet")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Catalogue")).to_have_value("other")


async def test_the_way_to_the_shop_keeps_the_catalogue(page: Page) -> None:
    """The link and the brand lead to the catalogue that is chosen, also after another choice."""
    await open_console(page)
    ways = [page.get_by_role("link", name="Shop", exact=True), page.get_by_role("link", name="Vitrine")]
    for way in ways:
        await expect(way).to_have_attribute("href", "/?catalog=demo")
    await page.get_by_label("Catalogue").select_option("other")
    for way in ways:
        await expect(way).to_have_attribute("href", "/?catalog=other")
    await ways[0].click()
    await expect(page.locator("#catalog")).to_have_value("other")


async def test_without_a_catalogue_the_mesh_is_told_all_the_same(page: Page, site: Site) -> None:
    """The first catalogue is offered to be made, and the shards are shown."""
    site.flows.catalog.ids = []
    await page.goto("/console/")
    await expect(page.get_by_text("There is no catalogue yet")).to_be_visible()
    await expect(page.get_by_role("link", name="Import products")).to_have_attribute("href", "#import")
    await expect(page.get_by_role("table", name="Shards and their replicas")).to_be_visible()


async def test_whoever_has_no_key_is_asked_for_one(page: Page, site: Site) -> None:
    """Without a key the page asks, a wrong one is asked for again, and on the way out the views stay."""
    site.flows.access.gatekeeper.secret = "vk_right"
    await page.goto("/console/")
    dialog = page.get_by_role("dialog", name="A key is needed")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("A key is needed")
    await expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_count(
        len(CONSOLE_VIEWS)
    )
    await page.get_by_role("button", name="Try again").click()
    await dialog.get_by_label("API key").fill("vk_wrong")
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("This key is not valid")
    await dialog.get_by_label("API key").fill("vk_right")
    await page.keyboard.press("Enter")
    await expect(health(page)).to_contain_text("attention")
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_key_without_the_right_is_told(page: Page, site: Site) -> None:
    """What the key lacks is said above the view, the views stay, and asking stops."""
    site.flows.access.gatekeeper.error = PermissionDenied("needs the scope admin", reason="SCOPE_MISSING")
    await page.clock.install()
    await page.goto("/console/")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("needs a key with the scope “admin”")
    await expect(alert).to_contain_text("needs the scope admin")
    await expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_count(
        len(CONSOLE_VIEWS)
    )
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.clock.run_for(60_000)
    assert asked == []


async def test_a_key_for_one_catalogue_sees_what_it_may(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where neither catalogues nor the mesh may be told, the catalogue of the address is shown."""
    refusal: VitrineError = PermissionDenied("is about all catalogues", reason="CATALOG_NOT_ALLOWED")

    async def refuse(_: object) -> None:
        raise refusal

    monkeypatch.setattr(site.flows.catalog, "list_catalogs", refuse)
    site.flows.status.error = refusal
    await open_console(page)
    await expect(page.get_by_role("heading", name="Generation g1")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("Your key is for some catalogues only")
    await page.get_by_role("link", name="Queries").click()
    await expect(page.get_by_role("heading", name="Recent searches")).to_be_visible()
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_another_key_can_be_used(page: Page, site: Site) -> None:
    """Whoever came with a key that lacks the right can show another one."""
    site.flows.access.gatekeeper.secret = "vk_right"
    await page.goto("/console/")
    dialog = page.get_by_role("dialog", name="A key is needed")
    await dialog.get_by_label("API key").fill("vk_right")
    site.flows.access.gatekeeper.error = PermissionDenied("needs the scope admin", reason="SCOPE_MISSING")
    await page.keyboard.press("Enter")
    # The key is asked for once this is refused for want of one, which must not come too early.
    async with page.expect_response("**/v1/catalogs?*"):
        await page.get_by_role("button", name="Use another key").click()
    site.flows.access.gatekeeper.error = None
    await page.get_by_role("button", name="Try again").click()
    await dialog.get_by_label("API key").fill("vk_right")
    await page.keyboard.press("Enter")
    await expect(health(page)).to_contain_text("attention")


async def test_a_phone_needs_no_scrolling_sideways(page: Page, site: Site) -> None:
    """On a narrow screen no view is wider than the screen, and the tabs of all views are in sight."""
    problem = "EMBEDDER_UNAVAILABLE: " + "x" * 90
    add_generation(site, "g2", catalog_pb2.GENERATION_STATE_BUILDING, problem=problem)
    await page.set_viewport_size({"width": 390, "height": 844})
    for view, drawn in CONSOLE_VIEWS.items():
        await open_console(page, view)
        await expect(page.locator(drawn).first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, view
        for tab in await page.locator("#tabs a").all():
            await expect(tab).to_be_in_viewport(ratio=0.9)


async def test_numbers_and_words_are_those_of_the_language(browser: Browser, site: Site) -> None:
    """In German the console is German, and so are its numbers."""
    async with visitor(browser, site.url, locale="de-DE") as context:
        page = await context.new_page()
        await open_console(page)
        await expect(health(page).get_by_role("heading")).to_have_text("4 Punkte brauchen Aufmerksamkeit")
        await expect(page.get_by_text("34\u00a0% von 18.233 Suchen")).to_be_visible()
        await expect(page.get_by_role("cell", name="9,5\u00a0ms", exact=True)).to_be_visible()
