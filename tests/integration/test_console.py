"""The console in headless Chromium on the real mesh."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.drawings import draw
from tests.gateway.http.page.visits import choose_photo, encoded, follow, hits_shown
from tests.meshes import LiveMesh

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

SPACES = ("resnet50", "triplet", "colour", "clip")
HEADER = "id,image,title,price"


@pytest.fixture(scope="module")
def boutique(mesh: LiveMesh, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A catalogue of two products, with few searches; its id."""
    return indexed(mesh, tmp_path_factory.mktemp("boutique"), "boutique")


def indexed(mesh: LiveMesh, folder: Path, catalog: str) -> str:
    """A new catalogue of red shoes and a blue dress; `catalog`."""
    mesh.index(write_shop(folder, {"Shoes": "Red", "Dresses": "Blue"}), catalog)
    return catalog


def write_shop(folder: Path, things: dict[str, str], *rows: str) -> Path:
    """A table with a photo and a row for each kind of thing in its colour, and further rows; `folder`."""
    lines = [HEADER]
    for number, (kind, colour) in enumerate(things.items()):
        draw(kind, colour).save(folder / f"{kind}.png")
        lines.append(f"{number},{kind}.png,{colour} {kind.lower()},{10 + number}")
    (folder / "products.csv").write_text("\n".join([*lines, *rows]), encoding="utf-8")
    return folder


async def open_console(page: Page, view: str, catalog: str) -> None:
    """Open a view and wait for what it shows."""
    await page.goto(f"/console/?catalog={catalog}#{view}")
    await expect(page.locator("#view > *").first).to_be_visible()


def figure(page: Page, name: str) -> Locator:
    """The value of a figure by its name."""
    term = page.get_by_role("term").filter(has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(".figures > div").filter(has=term).get_by_role("definition")


async def bring_in(page: Page, folder: Path, *, into: str) -> None:
    """Import a folder into a new catalogue."""
    await page.goto("/console/#import")
    await page.locator("input[webkitdirectory]").set_input_files(folder)
    await page.get_by_role("radio", name="Into a new one called").check()
    await page.get_by_label("Name of the new catalogue").fill(into)
    await page.get_by_role("button", name="Import ").click()
    await expect(page.locator(".import-counts")).to_be_visible()


async def test_all_is_well(page: Page, boutique: str) -> None:
    """Every service answers, every shard is up to date, and the catalogue's numbers are told."""
    await open_console(page, "overview", boutique)
    await expect(page.locator(".health").get_by_role("heading")).to_have_text("All is well")
    await expect(figure(page, "Products")).to_have_text("2")
    shards = page.get_by_role("table", name="Shards and their replicas").locator("tbody tr")
    await expect(shards.locator(".state")).to_have_text(["Up to date"] * 2)
    services = page.get_by_role("table", name="The services that the gateway stands on").locator("tbody tr")
    await expect(services.locator(".state")).to_have_text(["Answers"] * 3)


async def test_a_shard_that_hangs_is_told(page: Page, boutique: str, mesh: LiveMesh) -> None:
    """Its products are missing from results, which the shop says and the console; then all is well again."""
    with mesh.hanging("vectorsearch-0"):
        await follow(page, f"/?catalog={boutique}&q=blue+dress")
        await expect(page.locator("#degraded")).to_contain_text("Only 1 of 2 parts of the catalogue answered")
        await open_console(page, "overview", boutique)
        await expect(page.locator(".health").get_by_role("listitem")).to_have_text(
            "Shard 1 of 2 does not answer: its products are missing from results."
        )
    await expect(page.locator(".health").get_by_role("heading")).to_have_text("All is well")


async def test_searches_are_listed(page: Page, mesh: LiveMesh, tmp_path: Path) -> None:
    """What was just searched for is there with what came of it, and what found nothing is told apart."""
    catalog = indexed(mesh, tmp_path, "looked-at")
    await follow(page, f"/?catalog={catalog}&q=red+shoes")
    # Leaving earlier would give the second search up.
    async with page.expect_response("**:feedback"), page.expect_response("**:search"):
        await page.get_by_role("button", name="More like Red shoes").click()
    await expect(page.locator(".chip")).to_contain_text("Like Red shoes")
    await page.goto(f"/?catalog={catalog}&q=velvet+hat&min=4000")
    await expect(page.locator("#status")).to_have_text("Nothing passes all of these filters")
    await open_console(page, "queries", catalog)
    await expect(figure(page, "Searches")).to_have_text("3")
    await expect(figure(page, "Found nothing")).to_have_text("33%")
    recent = page.get_by_role("table", name=re.compile("^Recent searches")).locator("tbody tr")
    await expect(recent.get_by_role("rowheader")).to_have_text(
        [re.compile("^velvet hat.*with filters"), re.compile("^red shoes.*like 0"), re.compile("^red shoes")]
    )
    await expect(recent.last).to_contain_text("1 like")
    in_vain = page.get_by_role("table", name="Searched without success")
    await expect(in_vain.get_by_role("rowheader")).to_have_text(["velvet hat"])
    await page.get_by_role("checkbox", name="Only those that found nothing").check()
    await expect(recent).to_have_count(1)


async def test_an_import_can_be_searched(page: Page, mesh: LiveMesh, tmp_path: Path) -> None:
    """A table in the browser becomes a catalogue: what cannot be read is told, the rest is found by photo."""
    things = {"Shirts": "Green", "Handbags": "Brown", "Dresses": "Pink"}
    (tmp_path / "torn.png").write_bytes(b"no picture at all")
    await bring_in(page, write_shop(tmp_path, things, "9,torn.png,Torn,5"), into="autumn")
    await expect(page.locator(".import-counts dd")).to_have_text(["3", "0", "1"])
    await expect(page.locator(".import-failures tbody td").first).to_have_text("5")
    await expect(page.locator("#catalog")).to_have_value("autumn")
    await asyncio.to_thread(mesh.await_shards, "autumn")
    await page.get_by_role("link", name="Open the shop").click()
    await expect(page.locator("#shelf button")).to_have_count(3)
    await choose_photo(page, encoded(draw("Handbags", "Brown")))
    await expect(page.locator(".hit h3")).to_have_count(3)
    await expect(page.locator(".hit h3").first).to_have_text("Brown handbags")
    await expect(page.locator(".hit .badge").first).to_have_text("100 high")


async def test_near_duplicates_are_reviewed(page: Page, mesh: LiveMesh, tmp_path: Path) -> None:
    """A photo that came twice is shown as one group; what is deleted there is gone from the shop."""
    folder = write_shop(tmp_path, {"Shoes": "Red", "Shirts": "Blue"}, "7,Shoes.png,The same shoes,12")
    await bring_in(page, folder, into="twins")
    await expect(page.locator(".import-counts dd")).to_have_text(["3", "0", "0"])
    await asyncio.to_thread(mesh.await_shards, "twins")
    await page.get_by_role("link", name="review").click()
    groups = page.locator("section.alike")
    await expect(groups.get_by_role("heading")).to_have_text(["The same photo 2 products"])
    await expect(groups.locator(".alike-title")).to_have_text(["Red shoes", "The same shoes"])
    await page.get_by_role("button", name="Delete The same shoes").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(groups).to_have_count(0)
    await page.goto("/?catalog=twins&q=shoes")
    await hits_shown(page)
    await expect(page.locator(".hit h3")).to_have_count(2)
    await expect(page.locator(".hit h3").first).to_have_text("Red shoes")


async def test_every_space_has_its_model(page: Page, boutique: str) -> None:
    """Each model is available and in use, and its card opens as a text with headings."""
    await open_console(page, "models", boutique)
    cards = page.get_by_role("article")
    await expect(cards.locator(".panel-head h2")).to_have_text(SPACES)
    for card in await cards.all():
        await expect(card.locator(".state")).to_have_text("Available")
        await expect(card).to_contain_text("Used by g1")
        await card.get_by_text("Model card").click()
        await expect(card.get_by_role("heading", name="How well it does")).to_be_visible()
