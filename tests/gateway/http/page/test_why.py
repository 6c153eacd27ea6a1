from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.gateway.http.page.visits import hits_shown, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def asked_why(page: Page) -> Locator:
    """Search, and open the panel of the best hit."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why Red shoes for men?").click()
    return page.get_by_role("dialog", name="Red shoes for men")


async def answer_with(page: Page, hit: dict[str, Any], **answer: object) -> None:
    """Lets the next searches have another best hit, and other fields."""

    async def changed(route: Route) -> None:
        body = await (await route.fetch()).json()
        body["hits"][0] |= hit
        await route.fulfill(json=body | answer)

    await page.route("**:search", changed)


def term(name: str, contribution: float) -> dict[str, object]:
    return {
        "name": name,
        "value": contribution * 2,
        "weight": 0.5,
        "contribution": contribution,
        "absent": False,
    }


async def facts(panel: Locator, title: str) -> dict[str, str]:
    """The list under a heading, by name."""
    section = panel.locator("section").filter(has=panel.page.get_by_role("heading", name=title))
    names, values = section.locator("dt"), section.locator("dd")
    return dict(zip(await names.all_inner_texts(), await values.all_inner_texts(), strict=True))


async def test_the_panel_says_why(page: Page) -> None:
    """Every term is told in plain words with its share, and they add up to the score."""
    panel = await asked_why(page)
    await expect(panel.locator(".term dt")).to_have_text(
        ["Shows the same kind of thing", "Looks alike", "Made for the same people"]
    )
    await expect(panel.locator(".term dd:nth-of-type(1)")).to_have_text(["0.45", "0.36", "0.05"])
    await expect(panel).to_contain_text("What the picture and the words mean (CLIP): 0.90 × weight 0.50")
    await expect(panel).to_contain_text("nothing is known, so a neutral 0.50 × weight 0.10")
    await expect(panel.locator(".total")).to_have_text("Score0.90")


async def test_terms_are_in_groups(page: Page) -> None:
    """Looks, meaning and words each say what they are of the score; a term against it is told as such."""
    await answer_with(
        page,
        {
            "score": 0.5,
            "terms": [term("visual.clip", 0.4), term("text.match", 0.15), term("semantic.gender", -0.05)],
        },
    )
    panel = await asked_why(page)
    await expect(panel.locator(".term-group h4")).to_have_text(
        ["Looks80% of the score", "Meaning", "Words30% of the score"]
    )
    await expect(panel.locator(".fill.against")).to_have_count(1)
    await expect(panel.locator(".term dd:nth-of-type(1)").nth(1)).to_have_text("-0.05")


async def test_a_term_that_the_page_does_not_know_is_named_as_the_server_does(page: Page) -> None:
    """A new space or a new term is shown all the same."""
    await answer_with(page, {"terms": [term("visual.dino", 0.4), term("stock.level", 0.1)]})
    panel = await asked_why(page)
    await expect(panel).to_contain_text("How the model dino sees it")
    await expect(panel).to_contain_text("What the server calls stock.level")


async def test_an_answer_without_terms_is_said(page: Page) -> None:
    """Where the ranker was away there is nothing to explain."""
    await answer_with(page, {"terms": []})
    await expect(await asked_why(page)).to_contain_text("The server did not say why this time.")


@pytest.mark.parametrize(
    ("similarity", "band", "sentence"),
    [
        (87.4, "BAND_HIGH", "Similarity 87 of 100: high. This is very close to your search."),
        (52.0, "BAND_MEDIUM", "Similarity 52 of 100: medium. This has something of your search."),
        (12.0, "BAND_LOW", "Similarity 12 of 100: low. This is rather unlike your search."),
    ],
)
async def test_the_similarity_is_explained(page: Page, similarity: float, band: str, sentence: str) -> None:
    """A sentence says what the number means, and a marker stands in its band of the scale."""
    await answer_with(page, {"similarity": similarity, "band": band})
    panel = await asked_why(page)
    await expect(panel).to_contain_text(sentence)
    name = band.removeprefix("BAND_").lower()
    marker, place = (
        await panel.locator(".marker").bounding_box(),
        await panel.locator(f".band.{name}").bounding_box(),
    )
    assert marker is not None
    assert place is not None
    assert place["x"] <= marker["x"] + marker["width"] / 2 <= place["x"] + place["width"]


async def test_what_was_understood_reads_well(page: Page) -> None:
    """What the words say stands as it is, a guess with its probability, and what is hardly believed not."""
    panel = await asked_why(page)
    understood = {"Gender": "Women", "Category": "Footwear (75%)", "Type": "Shoes or boots"}
    assert await facts(panel, "What your search was taken for") == understood
    assert await facts(panel, "What the photo suggests") == {"Category": "Footwear (88%)"}
    assert (await facts(panel, "What the shop says"))["Colour"] == "Red"


async def test_products_that_were_left_out_are_told_of(page: Page) -> None:
    """A short line counts those that look alike but are for somebody else; without any there is none."""
    panel = await asked_why(page)
    await expect(panel.get_by_text("left out")).to_have_count(0)
    await page.keyboard.press("Escape")
    dropped = [{"product": f"p{i}", "reason": "is for Men, the query is for Women"} for i in range(3)]
    await answer_with(page, {}, dropped=dropped)
    await search_words(page, "red shoes")
    panel = await asked_why(page)
    await expect(panel).to_contain_text(
        "3 products that look alike were left out: the shop says they are for somebody else."
    )


async def test_the_panel_closes_in_every_way(page: Page) -> None:
    """Escape, the button, a click beside it and the browser's back button close it; the focus returns."""
    panel = await asked_why(page)
    opener = page.get_by_role("button", name="Why Red shoes for men?")
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(opener).to_be_focused()
    await opener.press("Enter")
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_have_count(0)
    await opener.press("Enter")
    await page.mouse.click(5, 5)
    await expect(panel).to_have_count(0)
    await opener.press("Enter")
    await page.go_back()
    await expect(panel).to_have_count(0)


async def test_more_like_this_from_the_panel(page: Page) -> None:
    """The wish changes the search, and the panel makes way for its hits."""
    panel = await asked_why(page)
    await panel.get_by_role("button", name="More like this").click()
    await expect(panel).to_have_count(0)
    await hits_shown(page)
    assert page.url.endswith("q=red+shoes&like=shoes-red-men")
