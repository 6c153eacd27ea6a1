from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.gateway.http.page.visits import choose_photo, hits_shown, search_words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]


async def asked_why(page: Page) -> Locator:
    """Search, and open the panel of the best hit."""
    await search_words(page, "red shoes")
    await page.get_by_role("button", name="Why Red shoes for men?").click()
    panel = page.get_by_role("dialog", name="Red shoes for men")
    await expect(panel).to_be_visible()
    return panel


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


async def shares(panel: Locator) -> list[str]:
    """The reasons with what is said of their shares."""
    return [" ".join(text.split()) for text in await panel.locator(".reason").all_inner_texts()]


async def test_the_panel_says_why(page: Page) -> None:
    """Every reason is told in plain words with its share; what is not known says so."""
    panel = await asked_why(page)
    await expect(panel.locator(".reason")).to_have_count(3)
    assert await shares(panel) == [
        "Fits the meaning of your search 52%",
        "Looks alike overall 42%",
        "Made for the same people 6% Nothing is known of this, so it counts as neutral.",
    ]
    await expect(panel.locator(".fill.absent")).to_have_count(1)


async def test_shares_add_up_to_a_hundred(page: Page) -> None:
    """Thirds are rounded so that nothing is missing, and what hardly counts is a line of its own."""
    names = ("visual.clip", "visual.resnet50", "visual.triplet", "semantic.type", "semantic.colour")
    parts = (0.33, 0.33, 0.33, 0.006, 0.004)
    await answer_with(page, {"terms": [term(name, part) for name, part in zip(names, parts, strict=True)]})
    panel = await asked_why(page)
    await expect(panel.locator(".reason .share")).to_have_text(["33%", "33%", "33%"])
    await expect(panel).to_contain_text("Other things hardly counted (1%)")
    await expect(panel).not_to_contain_text("Same main colour 0%")


async def test_what_speaks_against_a_product_is_told(page: Page) -> None:
    """A term that lowers the score comes last, and has no share of it."""
    against = [term("visual.clip", 0.4), term("semantic.gender", -0.05), term("text.match", 0.1)]
    await answer_with(page, {"score": 0.45, "terms": against})
    panel = await asked_why(page)
    await expect(panel.locator(".reason .share")).to_have_text(["80%", "20%", "speaks against it"])
    await expect(panel.locator(".fill.against")).to_have_count(1)


async def test_the_numbers_are_there_for_who_asks(page: Page) -> None:
    """A table that is closed at first; its contributions add up to the score, rounded as they are."""
    terms = [
        {
            "name": name,
            "value": 0.335,
            "weight": 1,
            "contribution": 0.335,
            "absent": name == "semantic.gender",
        }
        for name in ("visual.clip", "visual.resnet50", "visual.triplet", "semantic.gender")
    ]
    await answer_with(page, {"similarity": 54.2, "terms": terms})
    panel = await asked_why(page)
    await expect(panel.get_by_role("table")).to_be_hidden()
    await panel.get_by_text("The numbers behind it").click()
    table = panel.get_by_role("table")
    await expect(table).to_contain_text("What the picture and the words mean (CLIP)")
    await expect(table).to_contain_text("nothing known, so neutral")
    told = await table.locator("tbody td:last-child").all_inner_texts()
    assert sorted(told) == ["0.33", "0.33", "0.34", "0.34"]
    await expect(table.locator("tfoot td")).to_have_text("1.34")
    await expect(panel).to_contain_text("The score of 1.34 is 54 of 100 on the scale that was learned")


async def test_a_term_that_the_page_does_not_know_is_named_as_the_server_does(page: Page) -> None:
    """A new space or a new term is shown all the same."""
    await answer_with(page, {"terms": [term("visual.dino", 0.4), term("stock.level", 0.1)]})
    panel = await asked_why(page)
    await expect(panel).to_contain_text("How the model dino sees it")
    await expect(panel).to_contain_text("What the server calls stock.level")


async def test_the_photo_stands_beside_what_was_found(page: Page) -> None:
    """The part of the visitor's photo, or the liked product; words alone have no picture."""
    panel = await asked_why(page)
    await expect(panel.locator("figure")).to_have_count(0)
    await page.keyboard.press("Escape")
    await choose_photo(page)
    await page.get_by_role("button", name="Why").nth(1).click()
    await expect(page.locator("dialog figcaption")).to_have_text(["Your photo", "This product"])
    canvas = page.locator("dialog canvas")
    await expect(canvas).to_have_js_property("width", 320)
    await expect(canvas).to_have_js_property("height", 400)
    await page.keyboard.press("Escape")
    await page.goto("/?catalog=demo&like=shoes-red-men")
    await page.get_by_role("button", name="Why Beige bag for men?").click()
    await expect(page.locator("dialog figcaption")).to_have_text(["Your choice", "This product"])
    await expect(page.locator("dialog figure img")).to_have_count(2)


async def test_the_close_button_covers_nothing(page: Page) -> None:
    """However far the panel is scrolled, its head stays above what is scrolled."""
    await page.set_viewport_size({"width": 390, "height": 600})
    panel = await asked_why(page)
    await panel.evaluate("(one) => one.scrollTo(0, one.scrollHeight)")
    head = await panel.locator(".why-head").bounding_box()
    close = await panel.get_by_role("button", name="Close").bounding_box()
    place = await panel.bounding_box()
    assert head is not None
    assert close is not None
    assert place is not None
    assert head["y"] == pytest.approx(place["y"], abs=2)
    assert head["width"] >= place["width"] - 20
    assert close["y"] + close["height"] <= head["y"] + head["height"]


async def test_an_answer_without_terms_is_said(page: Page) -> None:
    """Where the ranker was away there is nothing to explain."""
    await answer_with(page, {"terms": []})
    await expect(await asked_why(page)).to_contain_text("The server did not say why this time.")


@pytest.mark.parametrize(
    ("similarity", "band", "sentence"),
    [
        (87.4, "BAND_HIGH", "Similarity 87 of 100. This is very similar to your search."),
        (52.0, "BAND_MEDIUM", "Similarity 52 of 100. This is somewhat similar to your search."),
        (12.0, "BAND_LOW", "Similarity 12 of 100. This is only a little similar to your search."),
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
    assert await facts(panel, "What we understood of your search") == understood
    assert await facts(panel, "What its photo suggests") == {"Category": "Footwear (88%)"}
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
