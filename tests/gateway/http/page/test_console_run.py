"""How an import ends, whatever befalls it."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Route, expect

from services.mesh.errors import FailedPrecondition
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.test_console_import import PHOTO, begin, ended, flow, open_import
from tests.gateway.http.page.visits import file_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# A run over drafts with a photo on the web each; `breaks` says that the source itself fails after them.
RUN = """async ([count, breaks]) => {
  const { ENDED, Run } = await import("/js/console/import/run.js");
  const photos = ["https://cdn.shop.example/1.jpg"];
  const source = {
    total: count,
    async *items() {
      for (let row = 1; row <= count; row += 1) {
        yield { id: `p${row}`, title: "", description: "", attributes: new Map(), photos, row };
      }
      if (breaks) throw new Error("the source is broken");
    },
  };
  const run = new Run("demo", source);
  let said = "";
  await run.start().catch((error) => { said = error.message; });
  const { state, wasStopped, written } = run;
  return { isEnded: state === ENDED, wasStopped, written, said };
}"""


async def test_a_run_ends_when_its_source_breaks(page: Page, site: Site) -> None:
    """It is over, counts as stopped, and what was on its way has arrived before."""
    found = await page.evaluate(RUN, [20, True])
    sent = sum(len(batch.products) for batch in flow(site).written)
    assert found == {"isEnded": True, "wasStopped": True, "written": sent, "said": "the source is broken"}


async def test_a_run_ends_when_an_answer_makes_no_sense(page: Page) -> None:
    """So it is after an answer that has not what it should have; no batch is left alone with its error."""
    await page.route("**/products:batchUpsert", lambda route: route.fulfill(json={}))
    found = await page.evaluate(RUN, [40, False])
    assert found["isEnded"]
    assert found["wasStopped"]
    assert found["written"] == 0
    assert found["said"]


async def test_a_batch_whose_answer_is_lost_is_sent_again(page: Page, site: Site) -> None:
    """An answer that cannot be read is none: the same batch goes again under the same name."""
    answers = 0

    async def lose_first(route: Route) -> None:
        nonlocal answers
        answers += 1
        if answers > 1:
            await route.continue_()
            return
        await route.fetch()
        await route.fulfill(status=200, content_type="text/html", body="<h1>Sign in</h1>")

    await page.route("**/products:batchUpsert", lose_first)
    await open_import(page)
    await page.get_by_label("Choose files").set_input_files([file_of(PHOTO, "shoe.png")])
    await begin(page)
    await ended(page, 1, 0, 0)
    assert len({batch.request_id for batch in flow(site).written}) == 1
    assert answers == 2


async def test_a_catalogue_that_cannot_be_written_pauses_the_import(page: Page, site: Site) -> None:
    """What no smaller batch would mend is told once; continued, the whole batch goes again."""
    flow(site).refusals.append(FailedPrecondition("a generation is being deleted"))
    await open_import(page)
    files = [file_of(PHOTO, "shoe.png"), file_of(PHOTO, "boot.png")]
    await page.get_by_label("Choose files").set_input_files(files)
    await begin(page)
    await expect(page.get_by_role("alert").filter(has_text="Paused:")).to_be_visible()
    await page.get_by_role("button", name="Continue").click()
    await ended(page, 2, 0, 0)
    assert [len(batch.products) for batch in flow(site).written] == [2, 2]


async def test_years_are_no_thousands(page: Page) -> None:
    """Numbers of attributes are shown without marks between their digits, before anything is written."""
    table = b"id;image;year\n1;shoe.png;2011\n"
    await open_import(page)
    await page.get_by_label("Choose files").set_input_files(
        [file_of(table, "shop.csv", "text/csv"), file_of(PHOTO, "shoe.png")]
    )
    await expect(page.locator(".import-sample dd")).to_have_text(["2011"])
