from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from services.mesh.errors import NotFound
from tests.gateway.http.conftest import Site
from tests.gateway.http.page.test_accessibility import expect_accessible
from vitrine.v1 import catalog_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

SHIRTS, BAGS = "Blue shirt for men", "Black bag for men"


async def open_duplicates(page: Page, catalog: str = "demo") -> None:
    """Open the view, and wait for what it shows."""
    await page.goto(f"/console/?catalog={catalog}#duplicates")
    await expect(page.get_by_role("heading", name="Products that look alike")).to_be_visible()


def groups(page: Page) -> Locator:
    """The groups that are shown."""
    return page.locator("section.alike")


def group(page: Page, title: str) -> Locator:
    """The group with a product of that title."""
    return groups(page).filter(has_text=title)


async def delete(page: Page, title: str) -> Locator:
    """Ask to delete a product; the dialog that asks back."""
    await page.get_by_role("button", name=f"Delete {title}").click()
    return page.get_by_role("dialog")


async def test_products_that_look_alike_are_shown_side_by_side(page: Page) -> None:
    """Those that name each other, or that another names, are one group; those most alike come first."""
    await open_duplicates(page)
    await expect(page.get_by_text("2 groups to review")).to_be_visible()
    await expect(groups(page).get_by_role("heading")).to_have_text(
        ["99% alike 3 products", "97% alike 2 products"]
    )
    shirts = group(page, SHIRTS)
    await expect(shirts.get_by_role("columnheader").locator(".alike-title")).to_have_text(
        [SHIRTS, "Blue shirt for unisex", "Blue shirt for women"]
    )
    await expect(shirts.locator("thead img")).to_have_count(3)


async def test_what_differs_is_marked(page: Page) -> None:
    """By colour, and in words for who does not see it; what is the same is not."""
    await open_duplicates(page)
    bags = group(page, BAGS)
    gender = bags.get_by_role("row", name=re.compile("^Gender"))
    await expect(gender.get_by_role("rowheader")).to_have_text("Gender (differs)")
    await expect(gender.get_by_role("cell")).to_have_text(["Men", "Women"])
    await expect(bags.get_by_role("rowheader", name="Colour")).to_have_text("Colour")


async def test_a_product_is_deleted_when_the_visitor_is_sure(page: Page, site: Site) -> None:
    """The dialog names it, what was read is what is deleted, and the focus goes to one that is left."""
    await open_duplicates(page)
    dialog = await delete(page, SHIRTS)
    await expect(dialog).to_contain_text("Delete “Blue shirt for men”?")
    await expect(dialog).to_contain_text("shirt-blue-men")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(groups(page).get_by_role("heading").first).to_have_text("The same photo 2 products")
    await expect(page.get_by_role("button", name="Delete Blue shirt for unisex")).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text="was deleted")).to_have_count(1)
    (request,) = (
        one for one in site.flows.catalog.asked if isinstance(one, catalog_pb2.DeleteProductRequest)
    )
    assert request.name == "catalogs/demo/products/shirt-blue-men"
    assert request.etag
    assert request.name not in site.flows.catalog.stock


async def test_a_product_alone_is_no_group(page: Page) -> None:
    """When one of two is deleted nothing is left to compare: the focus goes to the next group."""
    await open_duplicates(page)
    dialog = await delete(page, BAGS)
    await dialog.get_by_role("button", name="Delete").click()
    await expect(groups(page)).to_have_count(1)
    await expect(groups(page).get_by_role("heading")).to_be_focused()


async def test_who_is_not_sure_deletes_nothing(page: Page, site: Site) -> None:
    """Escape leaves the dialog, and the focus returns to the button."""
    await open_duplicates(page)
    await expect(await delete(page, BAGS)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name=f"Delete {BAGS}")).to_be_focused()
    assert "catalogs/demo/products/bag-black-men" in site.flows.catalog.stock


async def test_a_product_that_changed_is_shown_anew(page: Page, site: Site) -> None:
    """Who would delete what somebody else has changed is told so, and sees how it is now."""
    await open_duplicates(page)
    changed = site.flows.catalog.stock["catalogs/demo/products/bag-black-men"]
    changed.title, changed.etag = "Black leather bag", "another"
    dialog = await delete(page, BAGS)
    await dialog.get_by_role("button", name="Delete").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("Somebody has changed it meanwhile")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("button", name="Delete Black leather bag")).to_be_focused()
    dialog = await delete(page, "Black leather bag")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(groups(page)).to_have_count(1)


async def test_what_is_gone_already_is_deleted(page: Page, site: Site) -> None:
    """Two people who review the same group do not stand in each other's way."""
    await open_duplicates(page)
    del site.flows.catalog.stock["catalogs/demo/products/bag-black-men"]
    dialog = await delete(page, BAGS)
    await dialog.get_by_role("button", name="Delete").click()
    await expect(groups(page)).to_have_count(1)


async def test_products_that_are_gone_are_like_nothing(page: Page, site: Site) -> None:
    """A product that names one that was deleted since is no group by itself."""
    del site.flows.catalog.stock["catalogs/demo/products/bag-black-women"]
    await open_duplicates(page)
    await expect(groups(page)).to_have_count(1)


async def test_both_can_be_kept(page: Page) -> None:
    """The group is not shown again in this browser, until the visitor wants to review it once more."""
    await open_duplicates(page)
    await group(page, BAGS).get_by_role("button", name="Keep both").click()
    await expect(groups(page)).to_have_count(1)
    await expect(groups(page).get_by_role("heading")).to_be_focused()
    await page.reload()
    await expect(page.get_by_text("1 group to review")).to_be_visible()
    await page.get_by_role("checkbox", name="Show the group that I keep").check()
    await group(page, BAGS).get_by_role("button", name="Review again").click()
    await expect(page.get_by_text("2 groups to review")).to_be_visible()
    await group(page, SHIRTS).get_by_role("button", name="Keep all").click()
    await group(page, BAGS).get_by_role("button", name="Keep both").click()
    await expect(page.get_by_role("checkbox")).to_be_checked()
    await page.get_by_role("checkbox").uncheck()
    await expect(page.get_by_text("Nothing left to review")).to_be_visible()


async def test_a_product_opens_in_the_shop(page: Page) -> None:
    """The link leads to its page in the catalogue at hand."""
    await open_duplicates(page)
    link = page.get_by_role("link", name=f"Open in the shop: {BAGS}")
    await expect(link).to_have_attribute("href", "/?catalog=demo&item=bag-black-men")


async def test_further_groups_come_on_demand(page: Page, site: Site) -> None:
    """Groups are read page by page; the focus goes to the first new one."""
    site.flows.catalog.most = 1
    await open_duplicates(page)
    await expect(groups(page)).to_have_count(1)
    more = page.get_by_role("button", name="More groups")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(groups(page)).to_have_count(2)
    await expect(group(page, SHIRTS).get_by_role("heading")).to_be_focused()
    await expect(more).to_be_hidden()


async def test_a_catalogue_without_duplicates_says_so(page: Page) -> None:
    """And how products would come here."""
    await open_duplicates(page, "other")
    await expect(page.get_by_text("No two products look alike")).to_be_visible()


async def test_a_problem_is_told_above_the_view(page: Page, site: Site) -> None:
    """As in every view of the console."""
    site.flows.catalog.listing_error = NotFound("there is no such catalogue")
    await page.goto("/console/?catalog=demo#duplicates")
    await expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_view_is_accessible(page: Page, scheme: Any) -> None:
    """With its groups and its dialog, in either colour scheme."""
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await open_duplicates(page)
    await expect_accessible(page)
    await expect(await delete(page, BAGS)).to_be_visible()
    await expect_accessible(page)


async def test_groups_are_unions_of_pairs(page: Page) -> None:
    """A chain of pairs is one group; each product shows the photo of its own nearest pair."""
    pairs = [["a", "b", 0.98], ["d", "e", 1.0], ["c", "b", 0.99], ["c", "d2", 0.97], ["e", "d", 0.5]]
    script = """async (pairs) => {
      const { grouped, pairsOf } = await import("/js/console/duplicates/groups.js");
      const products = new Map();
      for (const [one, other, cosine] of pairs) {
        for (const id of [one, other]) {
          const photos = pairs.map((_, place) => ({ id: `p${place}` }));
          const fresh = { name: `catalogs/x/products/${id}`, photos, near_duplicates: [] };
          products.set(id, products.get(id) ?? fresh);
        }
        const place = pairs.findIndex((pair) => pair[0] === one && pair[1] === other);
        const [photo_id, product] = [`p${place}`, `catalogs/x/products/${other}`];
        products.get(one).near_duplicates.push({ product, photo_id, other_photo_id: photo_id, cosine });
      }
      const groups = grouped(pairsOf(products));
      return groups.map(({ ids, photos, cosine }) => [ids, ids.map((id) => photos.get(id)), cosine]);
    }"""
    assert await page.evaluate(script, pairs) == [
        [["d", "e"], ["p1", "p1"], 1],
        [["a", "b", "c", "d2"], ["p0", "p2", "p2", "p3"], 0.97],
    ]


async def test_the_same_photo_is_no_good_news(page: Page, site: Site) -> None:
    """What is likely a mistake does not have the colour of what is well."""
    del site.flows.catalog.stock["catalogs/demo/products/shirt-blue-men"]
    await open_duplicates(page)
    badge = groups(page).first.locator(".badge")
    await expect(badge).to_have_text("The same photo")
    well = await badge.evaluate(
        """(badge) => {
            const like = document.createElement("span");
            like.style.color = "var(--high)";
            badge.append(like);
            const { color } = getComputedStyle(like);
            like.remove();
            return color;
        }"""
    )
    await expect(badge).not_to_have_css("color", well)
    assert "high" not in ((await badge.get_attribute("class")) or "")
