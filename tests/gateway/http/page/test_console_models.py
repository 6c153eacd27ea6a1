from __future__ import annotations

import re

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from services.mesh.errors import Unavailable
from tests.gateway.http.conftest import Site
from tests.gateway.http.fakes import DIGESTS
from tests.gateway.http.page.test_accessibility import expect_accessible

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

# Texts with what becomes of them.
MARKDOWN = {
    "# One\n## Two ##\n###### Six": "<h3>One</h3><h4>Two</h4><h6>Six</h6>",
    "one\ntwo\n\nthree": "<p>one two</p><p>three</p>",
    "words\n# Title\nmore": "<p>words</p><h3>Title</h3><p>more</p>",
    "- a\n- b\n  - c\n- d": "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>",
    "- a\n  goes on\n- b": "<ul><li>a goes on</li><li>b</li></ul>",
    "1. a\n2. b": "<ol><li>a</li><li>b</li></ol>",
    "- a\n1. b": "<ul><li>a</li></ul><ol><li>b</li></ol>",
    "- a\n\nwords": "<ul><li>a</li></ul><p>words</p>",
    "> a\n> b": "<blockquote><p>a b</p></blockquote>",
    "```python\n# not *this*\n```\nwords": '<pre tabindex="0"><code># not *this*</code></pre><p>words</p>',
    "```\nnever closed": '<pre tabindex="0"><code>never closed</code></pre>',
    "---": "<hr>",
    "a **b *c* d** e": "<p>a <strong>b <em>c</em> d</strong> e</p>",
    "dual_encoder_v2 and _this_": "<p>dual_encoder_v2 and <em>this</em></p>",
    "2 * 3 * 4": "<p>2 * 3 * 4</p>",
    "`a*b*` and ``c`d``": "<p><code>a*b*</code> and <code>c`d</code></p>",
    "\\*a\\* and \\[b\\](c)": "<p>*a* and [b](c)</p>",
    "``a` b `c``": "<p><code>a` b `c</code></p>",
    "``a` and `b`": "<p>``a<code>and</code>b`</p>",
    "unclosed **bold and `code": "<p>unclosed **bold and `code</p>",
    "[a](https://example.org/b)": '<p><a href="https://example.org/b" rel="noreferrer">a</a></p>',
    "<https://example.org>": '<p><a href="https://example.org" rel="noreferrer">https://example.org</a></p>',
    "[a](javascript:alert(1))": "<p><span>a</span>)</p>",
    "[a](http://example.org)": "<p><span>a</span></p>",
    "![a](https://example.org/b.png)": '<p><a href="https://example.org/b.png" rel="noreferrer">a</a></p>',
    "<script>alert(1)</script>": "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>",
    "": "",
}

RENDER = """async (text) => {
    const { rendered } = await import("/js/console/markdown.js");
    const place = document.createElement("div");
    place.append(...rendered(text, 2));
    return place.innerHTML;
}"""


async def open_models(page: Page) -> None:
    """Open the view and wait for its cards."""
    await page.goto("/console/?catalog=demo#models")
    await expect(page.get_by_role("article").first).to_be_visible()


def model(page: Page, space: str) -> Locator:
    """The card of a space."""
    return page.get_by_role("article", name=space)


async def html(page: Page, text: str) -> str:
    """What becomes of a Markdown text."""
    markup = await page.evaluate(RENDER, text)
    assert isinstance(markup, str)
    return markup


async def test_each_space_has_a_card(page: Page) -> None:
    """A card tells the model, its weights, its device and how photos are made ready for it."""
    await open_models(page)
    its = model(page, "resnet50")
    for words in ("Available", "Used by g1", "2,048", "cpu, bfloat16", "49 MB", "224 × 224 pixels"):
        await expect(its).to_contain_text(words)
    await expect(its).to_contain_text("mean 123.68 / 116.78 / 103.94, spread 1 / 1 / 1")
    await expect(its).to_contain_text(DIGESTS["resnet50"][:12])
    await expect(its).not_to_contain_text(DIGESTS["resnet50"])


async def test_a_tile_begins_with_what_the_model_is_good_for(page: Page, site: Site) -> None:
    """The first paragraph of its card stands above the figures, and the card goes on from there."""
    site.flows.status.models[0].card = "# ResNet50\n\nWhat it *looks* like.\n\n## What it is\n\nA network."
    await open_models(page)
    its = model(page, "resnet50")
    await expect(its.locator(".panel-head + p")).to_have_text("What it looks like.")
    await its.locator("summary").click()
    await expect(its.locator(".prose p")).to_have_text(["A network."])


async def test_an_open_card_leaves_no_hole_beside_it(page: Page) -> None:
    """Every model has the row for itself."""
    await open_models(page)
    widths = await page.get_by_role("article").evaluate_all("(all) => all.map((one) => one.offsetWidth)")
    room = await page.locator(".models").evaluate("(models) => models.clientWidth")
    assert set(widths) == {room}


async def test_a_model_without_weights_says_why(page: Page) -> None:
    """What is not available is marked in words, with the embedder's reason."""
    await open_models(page)
    its = model(page, "clip")
    await expect(its).to_contain_text("Not available")
    await expect(its).to_contain_text("no weights of clip; vitrine models pull fetches them")
    await expect(its.get_by_role("button")).to_have_count(0)


async def test_another_version_is_told(page: Page, site: Site) -> None:
    """Weights that the active generation does not have are told from those that it has."""
    site.flows.status.models[0].spec.model_digest = "ee" * 32
    site.flows.status.models[1].spec.space = "triplet"
    await open_models(page)
    await expect(model(page, "resnet50")).to_contain_text("g1 uses another version of it")
    await expect(model(page, "triplet")).to_contain_text("Not used by g1")


async def test_the_digest_can_be_copied(page: Page, context: BrowserContext) -> None:
    """The button copies all of it and says so; where the browser refuses, it says that."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_models(page)
    copy = page.get_by_role("button", name="Copy the whole digest of resnet50")
    await copy.click()
    await expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == DIGESTS["resnet50"]
    await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    await copy.click()
    await expect(page.get_by_text("The browser did not allow it")).to_be_visible()


async def test_the_model_card_is_rendered(page: Page) -> None:
    """Opened with the keyboard, the card shows its headings below the model's, its lists and tables."""
    await open_models(page)
    its = model(page, "resnet50")
    await expect(its.get_by_role("heading", name="Trained on")).to_be_hidden()
    await its.locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(its.get_by_role("heading", name="Trained on", level=4)).to_be_visible()
    await expect(its.get_by_role("listitem")).to_have_text(["1.28 million photos", "1,000 classes"])
    await expect(its.get_by_role("row").nth(1).get_by_role("cell")).to_have_text(["mAP@R by type", "0.321"])
    await expect(its.get_by_role("strong")).to_have_text("Not")
    await expect(its.get_by_role("emphasis")).to_have_text("2,048")
    await expect(its.locator(".prose code")).to_have_text("resnet50.safetensors")
    await expect_accessible(page)


async def test_models_that_cannot_be_read_are_told(page: Page, site: Site) -> None:
    """Without the embedder the view says what is missing, and trying again shows the cards."""
    site.flows.status.error = Unavailable("the embedder is away", reason="EMBEDDER_UNAVAILABLE")
    await page.goto("/console/?catalog=demo#models")
    await expect(page.get_by_role("alert")).to_contain_text("the embedder is away")
    site.flows.status.error = None
    await page.get_by_role("button", name="Try again").click()
    await expect(model(page, "resnet50")).to_be_visible()
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_markdown(page: Page) -> None:
    """Each construct becomes its elements, and what is none stays as text."""
    assert {text: await html(page, text) for text in MARKDOWN} == MARKDOWN


async def test_tables_of_markdown(page: Page) -> None:
    """Cells are aligned as the line below the head says, and those that lack are empty."""
    made = await html(page, "| a | b |\n|---|--:|\n| `x` | 1 |\n| y\\|z |\n\nafter")
    assert re.sub(' class=""', "", made) == (
        '<table><thead><tr><th>a</th><th class="number">b</th></tr></thead><tbody>'
        '<tr><td><code>x</code></td><td class="number">1</td></tr>'
        '<tr><td>y|z</td><td class="number"></td></tr></tbody></table><p>after</p>'
    )


async def test_markdown_of_any_text_is_done(page: Page) -> None:
    """No text of a card's size, however odd, keeps the page busy or fails."""
    for piece in ["**", "*a", "[", "`", "`a``b", "- ", "> ", ">\n\n", "1. ", "|", "_a", "\\", "<https://"]:
        assert await html(page, piece * (16_384 // len(piece)))
    assert await html(page, " ".join("`" * length for length in range(1, 180)))
