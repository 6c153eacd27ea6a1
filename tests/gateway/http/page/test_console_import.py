from __future__ import annotations

import asyncio
import csv
import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Locator, Page, expect

from services.mesh.errors import InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable
from tests.gateway.http.conftest import Site
from tests.gateway.http.fakes import Catalogs, drawn
from tests.gateway.http.page.test_accessibility import expect_accessible
from tests.gateway.http.page.visits import encoded, file_of
from vitrine.v1 import catalog_pb2

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="package")]

HEADER = "SKU;Bezeichnung;Bild;Farbe;price"
PHOTO = drawn("shoes", "red")


def line(number: int, photo: str = "shoe.png", price: str = "59,90 €") -> str:
    """A row of the table."""
    return f"{number};Schuh {number};{photo};Red|White;{price}"


def shop(folder: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    """A folder with a table and one photo."""
    (folder / "shop" / "images").mkdir(parents=True)
    (folder / "shop" / "images" / "shoe.png").write_bytes(PHOTO)
    (folder / "shop" / "products.csv").write_text("\n".join([header, *lines]), encoding="cp1252")
    return folder / "shop"


async def open_import(page: Page, catalog: str = "demo") -> None:
    """Open the view."""
    await page.goto(f"/console/?catalog={catalog}#import")
    await expect(page.get_by_role("heading", name="Bring in products")).to_be_visible()


async def choose_folder(page: Page, folder: Path) -> None:
    """Choose a folder, and wait until it is looked through."""
    await page.locator("input[webkitdirectory]").set_input_files(folder)
    await expect(page.get_by_role("group", name="Where to")).to_be_visible()
    await expect(page.locator("form[aria-busy]")).to_have_count(0)


def column(page: Page, name: str) -> Locator:
    """The choice of what a column is."""
    return page.get_by_label(f"What “{name}” is")


async def begin(page: Page) -> None:
    """Start the import."""
    await page.get_by_role("button", name="Import ").click()


async def ended(page: Page, *counts: int) -> None:
    """Wait for the summary; `counts` are those written, unchanged and failed."""
    await expect(page.locator(".import-counts dd")).to_have_text([str(count) for count in counts])


def written(site: Site) -> list[catalog_pb2.Product]:
    """The products that were sent, in the order of their rows."""
    found = [one.product for batch in site.flows.catalog.written for one in batch.products]
    return sorted(found, key=lambda product: product.name)


def flow(site: Site) -> Catalogs:
    """The fake that is written to."""
    return site.flows.catalog


async def test_a_folder_is_looked_through_and_written(page: Page, site: Site, tmp_path: Path) -> None:
    """What its table says is shown before, and written as shown; names that are not known are chosen."""
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1), line(2), line(2, "shoe"), line(3)]))
    await column(page, "Bezeichnung").select_option("title")
    await column(page, "Bild").focus()
    await column(page, "Bild").select_option("image")
    await expect(page.get_by_role("heading", name="Schuh 1")).to_be_visible()
    await expect(column(page, "Bild")).to_be_focused()
    await expect(page.get_by_text("3 products to import · 4 rows read · 3 photos found")).to_be_visible()
    await expect(page.get_by_text("1 row has the ID of an earlier one")).to_be_visible()
    await begin(page)
    await ended(page, 3, 0, 0)
    first, *_ = products = written(site)
    assert [product.name for product in products] == [f"catalogs/demo/products/{i}" for i in (1, 2, 3)]
    assert first.title == "Schuh 1"
    assert [photo.image.content for photo in first.photos] == [PHOTO]
    assert [value.text for value in first.attributes["farbe"].values] == ["Red", "White"]
    assert [value.number for value in first.attributes["price"].values] == [59.9]
    shop_link = page.get_by_role("link", name="Open the shop")
    await expect(shop_link).to_have_attribute("href", "/?catalog=demo")
    await expect(page.get_by_role("heading", name="The import into demo is done")).to_be_focused()


async def test_a_known_table_needs_no_choice(page: Page, site: Site) -> None:
    """JSON Lines with usual names, and its photo, chosen as files; addresses are sent as they are."""
    rows = [
        {
            "sku": "a",
            "title": "A",
            "images": [{"src": "shoe.png"}, {"src": "https://cdn.shop.example/1.jpg"}],
        },
        {"sku": "b", "title": "B", "images": [{"src": "https://cdn.shop.example/2.jpg"}], "sale": True},
    ]
    table = "\n".join(map(json.dumps, rows)).encode()
    await open_import(page)
    await page.get_by_label("Choose files").set_input_files(
        [file_of(table, "export.jsonl", ""), file_of(PHOTO, "shoe.png")]
    )
    await expect(page.get_by_text("All is well")).to_be_visible()
    await begin(page)
    await ended(page, 2, 0, 0)
    first, second = written(site)
    assert [photo.image.content or photo.image.uri for photo in first.photos] == [
        PHOTO,
        "https://cdn.shop.example/1.jpg",
    ]
    assert [value.flag for value in second.attributes["sale"].values] == [True]


async def test_photos_alone_become_products(page: Page, site: Site) -> None:
    """One photo, one product, called as its file; a large one is made smaller before it is sent."""
    noise = Image.effect_noise((1640, 1230), 90).convert("RGB")
    large = encoded(noise, "JPEG", quality=95)
    assert len(large) > 1_500_000
    await open_import(page)
    files = [file_of(PHOTO, "red_shoe.png"), file_of(large, "Große Wand.jpg", "image/jpeg")]
    await page.get_by_label("Choose files").set_input_files(files)
    await expect(page.get_by_role("heading", name="red shoe")).to_be_visible()
    await begin(page)
    await ended(page, 2, 0, 0)
    wall, shoe = sorted(written(site), key=lambda product: product.title)
    assert (wall.title, shoe.title) == ("Große Wand", "red shoe")
    assert [value.text for value in wall.attributes["source_id"].values] == ["Große Wand"]
    assert shoe.photos[0].image.content == PHOTO
    with Image.open(io.BytesIO(wall.photos[0].image.content)) as sent:
        assert sent.size == (1600, 1200)


async def test_batches_are_bounded_and_named(page: Page, site: Site, tmp_path: Path) -> None:
    """A batch has at most 16 products and a UUID of its own."""
    await open_import(page)
    await choose_folder(
        page, shop(tmp_path, [line(i) for i in range(100, 140)], "id;title;image;colour;price")
    )
    await begin(page)
    await ended(page, 40, 0, 0)
    sizes = sorted(len(batch.products) for batch in flow(site).written)
    assert sizes == [8, 16, 16]
    names = {uuid.UUID(batch.request_id) for batch in flow(site).written}
    assert len(names) == 3
    assert {name.version for name in names} == {4}


async def test_large_photos_fill_a_batch(page: Page, site: Site) -> None:
    """No batch is larger than three megabytes, unless one product is."""
    content = PHOTO + bytes(1_000_000)
    await open_import(page)
    files = [file_of(content, f"{number}.png") for number in range(3)]
    await page.get_by_label("Choose files").set_input_files(files)
    await begin(page)
    await ended(page, 3, 0, 0)
    assert sorted(len(batch.products) for batch in flow(site).written) == [1, 2]


async def test_a_busy_gateway_is_asked_again(page: Page, site: Site, tmp_path: Path) -> None:
    """After 429 and 503 the same batch is sent again under the same name, so that it is written once."""
    flow(site).refusals += [ResourceExhausted("full", retry_after_s=0.01), Unavailable("away")]
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    await begin(page)
    await ended(page, 1, 0, 0)
    names = [batch.request_id for batch in flow(site).written]
    assert len(names) == 3
    assert len(set(names)) == 1


async def test_failing_rows_are_told_and_saved(page: Page, site: Site, tmp_path: Path) -> None:
    """Each has its row, its product and the reason, on the page and in a file; the others are written."""
    flow(site).failures["2"] = [InvalidArgument("photos", '=not "a" picture')]
    lines = [line(1), line(2), line(3, "none.png"), line(4, price="on request"), ";no id;;;"]
    await open_import(page)
    await choose_folder(page, shop(tmp_path, lines, "id;title;image;colour;price"))
    await expect(page.get_by_text("3 cannot be imported")).to_be_visible()
    await page.get_by_text("1 photo was not found").click()
    await expect(page.get_by_text("Row 4: there is no photo “none.png” among the files")).to_be_visible()
    await begin(page)
    await ended(page, 1, 0, 4)
    await expect(page.locator(".import-failures tbody td:first-child")).to_have_text(["3", "4", "5", "6"])
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="Save as CSV").click()
    saved = (await (await saving.value).path()).read_text(encoding="utf-8-sig")
    header, *rows = csv.reader(io.StringIO(saved))
    assert header == ["row", "product", "message"]
    assert rows == [
        # An apostrophe keeps a spreadsheet from taking it for a formula.
        ["3", "2", '\'=not "a" picture'],
        ["4", "3", "there is no photo “none.png” among the files"],
        ["5", "4", "“on request” is not a price"],
        ["6", "", "it has neither an ID nor a photo"],
    ]


async def test_a_picture_that_was_busy_gets_another_chance(page: Page, site: Site, tmp_path: Path) -> None:
    """A product whose picture could not be fetched just now is written again later."""
    flow(site).failures["1"] = [Unavailable("the host is busy")]
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1), line(2)], "id;title;image;colour;price"))
    await begin(page)
    await ended(page, 2, 0, 0)
    assert [len(batch.products) for batch in flow(site).written] == [2, 1]


async def test_what_is_there_is_unchanged_and_may_be_alike(page: Page, tmp_path: Path) -> None:
    """Products that do not differ are told apart from written ones, and near duplicates can be reviewed."""
    await open_import(page)
    lines = ["bag-black-men;Black bag;shoe.png;;", line(1)]
    await choose_folder(page, shop(tmp_path, lines, "id;title;image;colour;price"))
    await begin(page)
    await ended(page, 1, 1, 0)
    await page.get_by_role("link", name="1 product looks like another: review it").click()
    await expect(page.get_by_role("heading", name="Products that look alike")).to_be_visible()


async def test_an_import_pauses_goes_on_and_stops(page: Page, site: Site, tmp_path: Path) -> None:
    """Paused it sends nothing new; stopped it ends with what is written, and says how to go on."""
    await open_import(page)
    lines = [line(i) for i in range(100, 200)]
    await choose_folder(page, shop(tmp_path, lines, "id;title;image;colour;price"))
    flow(site).answers.clear()
    await begin(page)
    bar = page.get_by_role("progressbar", name="Importing into demo")
    await expect(bar).to_have_attribute("max", "100")
    async with asyncio.timeout(60):
        await flow(site).arrivals.acquire()
        await flow(site).arrivals.acquire()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator(".import-figures").first).to_have_text("0 of 100 products · Paused")
    flow(site).answers.set()
    # The two batches that were on their way arrive.
    await expect(page.locator(".import-figures").first).to_have_text("32 of 100 products · Paused")
    flow(site).answers.clear()
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Stop").click()
    flow(site).answers.set()
    await expect(page.get_by_role("heading", name="The import into demo was stopped")).to_be_focused()
    await expect(page.get_by_text("Import the same files again to go on")).to_be_visible()
    assert len(written(site)) < 100


async def test_an_import_goes_on_behind_other_views(page: Page, site: Site, tmp_path: Path) -> None:
    """Who looks elsewhere meanwhile finds it again; leaving the page asks first, until it has ended."""
    leaves = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    flow(site).answers.clear()
    await begin(page)
    await expect(page.get_by_role("progressbar", name="Importing into demo")).to_be_visible()
    assert await page.evaluate(leaves)
    views = page.get_by_role("navigation")
    await views.get_by_role("link", name="Models").click()
    await expect(page.get_by_role("progressbar", name="Importing into demo")).to_have_count(0)
    await views.get_by_role("link", name="Import").click()
    await expect(page.get_by_role("progressbar", name="Importing into demo")).to_be_visible()
    flow(site).answers.set()
    await ended(page, 1, 0, 0)
    assert not await page.evaluate(leaves)
    await page.get_by_role("button", name="Import something else").click()
    await expect(page.get_by_role("heading", name="Bring in products")).to_be_focused()


async def test_a_refusal_pauses_the_import(page: Page, site: Site, tmp_path: Path) -> None:
    """What waiting does not mend is told in words; continued, the same batch is sent again."""
    flow(site).refusals.append(PermissionDenied("the key has no scope write"))
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    await begin(page)
    await expect(page.get_by_role("alert").filter(has_text="Paused:")).to_be_visible()
    await page.get_by_role("button", name="Continue").click()
    await ended(page, 1, 0, 0)


async def test_one_product_does_not_spoil_its_batch(page: Page, site: Site, tmp_path: Path) -> None:
    """A batch that is refused is sent in halves, until the product at fault is alone."""
    flow(site).refusals += [InvalidArgument("products", "one is wrong")] * 2
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1), line(2)], "id;title;image;colour;price"))
    await begin(page)
    await ended(page, 1, 0, 1)
    await expect(page.locator(".import-failures tbody td")).to_have_text(["2", "1", "one is wrong"])


async def test_a_new_catalogue_is_made(page: Page, site: Site, tmp_path: Path) -> None:
    """Its name is checked first; then the products are written into it and the console shows it."""
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    await page.get_by_role("radio", name="Into a new one called").check()
    name = page.get_by_label("Name of the new catalogue")
    for wrong, reason in (
        ("-herbst", "lower-case letters"),
        ("", "lower-case letters"),
        ("demo", "already"),
    ):
        await name.fill(wrong)
        await begin(page)
        await expect(page.locator("#import-id-hint")).to_contain_text(reason)
        await expect(name).to_be_focused()
    await name.fill("herbst-26")
    await begin(page)
    await ended(page, 1, 0, 0)
    assert written(site)[0].name == "catalogs/herbst-26/products/1"
    await expect(page.locator("#catalog")).to_have_value("herbst-26")


async def test_a_table_without_ids_or_photos_says_so(page: Page, tmp_path: Path) -> None:
    """Until a column for either is chosen nothing can be imported."""
    await open_import(page)
    await choose_folder(page, shop(tmp_path, ["1;shoe.png"], "Nummer;Bild"))
    await expect(page.get_by_text("Choose which column holds the IDs or the photos")).to_be_visible()
    await expect(page.get_by_role("button", name="Nothing to import")).to_be_disabled()
    await column(page, "Bild").select_option("image")
    await expect(page.get_by_role("button", name="Import 1 product into demo")).to_be_enabled()


async def test_files_that_hold_nothing_are_refused_in_words(page: Page) -> None:
    """And the next choice can be made at once."""
    await open_import(page)
    files = page.get_by_label("Choose files")
    await files.set_input_files([file_of(b"hello", "notes.txt", "text/plain")])
    await expect(page.get_by_role("alert")).to_contain_text("neither a table nor a photo")
    await files.set_input_files([file_of(PHOTO, "shoe.png")])
    await expect(page.get_by_role("heading", name="What these photos become")).to_be_focused()


async def test_files_can_be_dropped(page: Page) -> None:
    """A photo that is dropped is looked through as one that is chosen."""
    await open_import(page)
    transfer = await page.evaluate_handle(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "hat.png", { type: "image/png" }));
          return transfer;
        }""",
        list(PHOTO),
    )
    await page.dispatch_event(".import-drop", "drop", {"dataTransfer": transfer})
    await expect(page.get_by_role("heading", name="hat", exact=True)).to_be_visible()


async def test_a_large_table_leaves_the_page_responsive(page: Page, tmp_path: Path) -> None:
    """Tens of thousands of rows are looked through in pieces, and other work comes between."""
    folder = shop(tmp_path, [line(i) for i in range(30_000)], "id;title;image;colour;price")
    await open_import(page)
    await page.evaluate(
        """() => {
          window.turns = 0;
          const turn = () => setTimeout(() => { window.turns += 1; turn(); });
          turn();
        }"""
    )
    await choose_folder(page, folder)
    before = await page.evaluate("window.turns")
    await column(page, "colour").select_option("ignore")
    await expect(page.get_by_text("30,000 products to import")).to_be_visible()
    assert await page.evaluate("window.turns") - before > 5


async def test_every_step_is_accessible(page: Page, site: Site, tmp_path: Path) -> None:
    """Choosing, checking, progress and summary with failures."""
    flow(site).failures["2"] = [InvalidArgument("photos", "not a picture")]
    await open_import(page)
    await expect_accessible(page)
    await choose_folder(
        page, shop(tmp_path, [line(1), line(2), line(3, "no")], "id;title;image;colour;price")
    )
    await expect(page.get_by_role("button", name="Import 2 products into demo")).to_be_enabled()
    await expect_accessible(page)
    flow(site).answers.clear()
    await begin(page)
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await expect_accessible(page)
    flow(site).answers.set()
    await ended(page, 1, 0, 2)
    await expect_accessible(page)


async def test_the_name_of_a_new_catalogue_is_made_right_as_one_types(page: Page, tmp_path: Path) -> None:
    """Choosing its field, or the option, chooses both; the rule is told, and the button says where to."""
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    go = page.get_by_role("button", name="Import ")
    await expect(go).to_have_text("Import 1 product into demo")
    name = page.get_by_label("Name of the new catalogue")
    await expect(name).to_have_accessible_description("Lower-case letters, digits and hyphens")
    await name.click()
    fresh = page.get_by_role("radio", name="Into a new one called")
    await expect(fresh).to_be_checked()
    await expect(go).to_have_text("Import 1 product into a new catalogue")
    await page.keyboard.type("Herbst 26")
    await expect(name).to_have_value("herbst-26")
    await expect(go).to_have_text("Import 1 product into herbst-26")
    await page.get_by_label("Catalogue to import into").click()
    await expect(fresh).not_to_be_checked()
    await expect(go).to_have_text("Import 1 product into demo")
    await fresh.check()
    await expect(name).to_be_focused()


async def test_no_catalogue_is_written_into_unawares(page: Page, tmp_path: Path) -> None:
    """Without one in the address a new one is meant; the Tab key alone chooses nothing else."""
    await page.goto("/console/#import")
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    await expect(page.get_by_role("radio", name="Into a new one called")).to_be_checked()
    await expect(page.get_by_role("button", name="Import 1 product into a new catalogue")).to_be_enabled()
    await page.get_by_role("radio", name="Into the catalogue").check()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Catalogue to import into")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("radio", name="Into the catalogue")).to_be_checked()


async def test_nothing_failed_is_no_alarm(page: Page, tmp_path: Path) -> None:
    """Only a number of failures has the colour of one."""
    await open_import(page)
    await choose_folder(page, shop(tmp_path, [line(1)], "id;title;image;colour;price"))
    await begin(page)
    await ended(page, 1, 0, 0)
    colours = await page.locator(".import-counts dd").evaluate_all(
        "(counts) => counts.map((count) => getComputedStyle(count).color)"
    )
    assert colours[2] == colours[1] != colours[0]
