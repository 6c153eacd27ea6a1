from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from google.rpc import code_pb2

from services.gateway.store import interface
from services.mesh import profiles
from services.mesh.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from services.mesh.vectors import decode
from tests.gateway.fakes import DIMENSIONS, photo, vector_of
from tests.gateway.rigs import CATALOG, Rig, item
from vitrine.v1 import catalog_pb2, common_pb2


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    await rig.create()
    return rig


async def _list(rig: Rig, **fields: object) -> catalog_pb2.ListProductsResponse:
    return await rig.gateway.catalog.list_products(catalog_pb2.ListProductsRequest(parent=CATALOG, **fields))  # type: ignore[arg-type]


async def test_a_catalogue_freezes_the_spaces_there_are(rig: Rig) -> None:
    """The first generation has the available spaces, the default profile and one for each space."""
    rig.embedder.spaces = ["resnet50", "clip"]
    request = catalog_pb2.CreateCatalogRequest(catalog_id="two")
    catalog = (await rig.gateway.catalog.create_catalog(request)).catalog
    assert catalog.name == "catalogs/two"
    generation = catalog.active_generation
    assert generation.id == "g1"
    assert [spec.space for spec in generation.spaces] == ["resnet50", "clip"]
    weights = profiles.profiles(["resnet50", "clip"])
    assert [profile.name for profile in generation.profiles] == ["similar", "same_style", "resnet50", "clip"]
    assert {profile.name: dict(profile.weights) for profile in generation.profiles} == weights
    with pytest.raises(AlreadyExists):
        await rig.gateway.catalog.create_catalog(request)
    rig.embedder.spaces = []
    with pytest.raises(FailedPrecondition):
        await rig.gateway.catalog.create_catalog(catalog_pb2.CreateCatalogRequest(catalog_id="none"))
    with pytest.raises(InvalidArgument) as refused:
        await rig.gateway.catalog.create_catalog(catalog_pb2.CreateCatalogRequest(catalog_id="No!"))
    assert refused.value.field == "catalog_id"


async def test_catalogues_are_listed_by_id(rig: Rig) -> None:
    """Pages of catalogues go through all of them once."""
    for name in ("b", "a"):
        await rig.gateway.catalog.create_catalog(catalog_pb2.CreateCatalogRequest(catalog_id=name))
    first = await rig.gateway.catalog.list_catalogs(catalog_pb2.ListCatalogsRequest(page_size=2))
    rest = await rig.gateway.catalog.list_catalogs(
        catalog_pb2.ListCatalogsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [each.name for each in (*first.catalogs, *rest.catalogs)] == ["catalogs/a", "catalogs/b", CATALOG]
    assert not rest.next_page_token
    with pytest.raises(InvalidArgument):
        await rig.gateway.catalog.list_catalogs(catalog_pb2.ListCatalogsRequest(page_size=1001))


async def test_a_product_is_read_as_written(rig: Rig) -> None:
    """What was written is read back, with what the catalogue made of it, and counted."""
    response = await rig.upsert(item("p1", photos=[photo(1), photo(2)], title="Shoe", price=19.5))
    assert not response.results[0].status.code
    assert {stage.stage for stage in response.stages} == {"embed", "media", "classify", "commit"}
    product = await rig.get("p1")
    assert product.title == "Shoe"
    assert product.attributes["price"].values[0].number == 19.5
    assert [label.value for label in product.labels] == ["Women"]
    assert product.revision == response.revision
    assert product.update_time.seconds > 0
    first = product.photos[0]
    assert (first.width, first.height) == (24, 24)
    assert first.media_path == f"/media/{first.digest}.png"
    assert not first.image.content
    assert rig.gateway.media.path(first.media_path.removeprefix("/media/")).read_bytes() == photo(1)
    catalog = (await rig.gateway.catalog.get_catalog(catalog_pb2.GetCatalogRequest(name=CATALOG))).catalog
    assert (catalog.product_count, catalog.photo_count, catalog.revision) == (1, 2, response.revision)
    assert [len(shard.products) for shard in rig.shards].count(1) == 1


async def test_nothing_that_differs_is_nothing_written(rig: Rig) -> None:
    """The same product again is unchanged: no revision, no vector."""
    first = await rig.upsert(item("p1", photos=[photo(1)]))
    rig.embedder.images = 0
    again = await rig.upsert(item("p1", photos=[photo(1)]), item("p2", photos=[photo(1)]))
    assert [result.unchanged for result in again.results] == [True, False]
    assert rig.embedder.images == 1
    last = await rig.upsert(item("p1"))
    assert last.results[0].unchanged
    assert last.revision == again.revision == first.revision + 1


async def test_known_photos_are_not_embedded_again(rig: Rig) -> None:
    """A photo that the product has keeps its vectors; equal photos of a batch are embedded once."""
    await rig.upsert(item("p1", photos=[photo(1), photo(2)]))
    rig.embedder.images = 0
    await rig.upsert(item("p1", photos=[photo(3), photo(1)]), item("p2", photos=[photo(3)]))
    assert rig.embedder.images == 1
    product = await rig.get("p1")
    assert product.photos[1].width == 24
    rows = next(shard.products["p1"] for shard in rig.shards if "p1" in shard.products).rows
    assert [each.photo_id for each in rows.photos] == [each.id for each in product.photos]
    assert all(len(each.vectors) == 3 for each in rows.photos)


async def test_attributes_change_without_the_embedder_and_the_ranker(rig: Rig) -> None:
    """A price can be written while models are away; the photos and labels stay."""
    await rig.upsert(item("p1", photos=[photo(1)], price=1))
    rig.embedder.fault.error = rig.ranker.fault.error = Unavailable("away")
    response = await rig.upsert(item("p1", price=2))
    assert not response.results[0].status.code
    product = await rig.get("p1")
    assert product.attributes["price"].values[0].number == 2
    assert len(product.photos) == 1
    assert len(product.labels) == 1
    with pytest.raises(Unavailable) as refused:
        await rig.upsert(item("p2", photos=[photo(2)]))
    assert refused.value.reason == "EMBEDDER_UNAVAILABLE"
    rig.embedder.fault.error = None
    with pytest.raises(Unavailable) as refused:
        await rig.upsert(item("p2", photos=[photo(2)]))
    assert refused.value.reason == "RANKER_UNAVAILABLE"
    with pytest.raises(NotFound):
        await rig.get("p2")


async def test_photos_can_be_cleared(rig: Rig) -> None:
    """Photos stay when none is given and go when that is said."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    await rig.upsert(item("p1", clear_photos=True))
    product = await rig.get("p1")
    assert not product.photos
    assert not product.labels
    assert (await rig.upsert(item("p1", clear_photos=True))).results[0].unchanged


async def test_without_semantics_there_are_no_labels(rig: Rig) -> None:
    """A ranker without prompts for the model infers nothing and refuses nothing."""
    rig.ranker.has_semantics = False
    await rig.upsert(item("p1", photos=[photo(1)]))
    assert not (await rig.get("p1")).labels


async def test_labels_are_inferred_from_all_that_is_known_of_the_first_photo(rig: Rig) -> None:
    """The ranker gets its vectors in every space, and anew only when another photo is the first."""
    await rig.upsert(item("p1", photos=[photo(1), photo(2)]))
    [asked] = rig.ranker.classified
    [first] = asked.photos
    assert not asked.vectors
    assert {vector.space for vector in first.vectors} == set(DIMENSIONS)
    for vector in first.vectors:
        assert decode(vector, field="v").tolist() == vector_of(photo(1), vector.space).tolist()
    await rig.upsert(item("p1", photos=[photo(1), photo(3)]))
    await rig.upsert(item("p1", title="Other"))
    assert len(rig.ranker.classified) == 1
    assert len((await rig.get("p1")).labels) == 1
    await rig.upsert(item("p1", photos=[photo(3), photo(1)]))
    assert len(rig.ranker.classified) == 2


async def test_one_bad_item_does_not_fail_its_batch(rig: Rig) -> None:
    """Each product has its own outcome, with the field at fault."""
    other = item("p3")
    other.product.name = "catalogs/other/products/p3"
    boxed = item("p10", photos=[photo(1)])
    boxed.product.photos[0].image.box.right = 1
    empty = item("p11")
    empty.product.attributes["size"].SetInParent()
    twice = item("p12", photos=[photo(1)], clear_photos=True)
    cases = [
        (item("p1", photos=[photo(1)]), ""),
        (item("p 1"), "name"),
        (item("p1"), "name"),
        (other, "name"),
        (item("p4", title="x" * 1001), "title"),
        (item("p5", Bad="x"), "attributes[Bad]"),
        (item("p6", size="x" * 257), "attributes[size].values[0].text"),
        (item("p7", photos=[b"bad"]), "photos[0].image.content"),
        (item("p8", photos=[b""]), "photos[0].image.content"),
        (item("p9", photos=[photo(i) for i in range(17)]), "photos"),
        (boxed, "photos[0].image.box"),
        (empty, "attributes[size]"),
        (twice, "clear_photos"),
    ]
    response = await rig.upsert(*(each for each, _ in cases))
    fields = [result.status.field for result in response.results]
    assert fields == [field for _, field in cases]
    codes = [result.status.code for result in response.results]
    assert codes == [code_pb2.INVALID_ARGUMENT if field else 0 for _, field in cases]
    assert [each.name for each in (await _list(rig)).products] == [f"{CATALOG}/products/p1"]


async def test_a_product_outlives_its_bad_photos(rig: Rig) -> None:
    """A product with one good photo is written, and told which of its photos were not."""
    first = await rig.upsert(item("p1", photos=[b"bad", photo(1), b"", photo(1), b"no picture"]))
    result = first.results[0]
    assert not result.status.code
    problems = {problem.index: problem.status.field for problem in result.photo_problems}
    assert problems == {0: "image.content", 2: "image.content", 3: "id", 4: "image.content"}
    assert len((await rig.get("p1")).photos) == 1


async def test_a_request_id_is_answered_once(rig: Rig) -> None:
    """The same request id gets the first outcome and writes nothing, also while that is being written."""
    request_id = str(uuid.uuid4())
    first = await rig.upsert(item("p1", photos=[photo(1)]), request_id=request_id)
    again = await rig.upsert(item("p1", title="other"), request_id=request_id.upper())
    assert again.results == first.results
    assert again.revision == first.revision
    assert (await rig.get("p1")).title == "p1"
    request_id = str(uuid.uuid4())
    both = await asyncio.gather(*(rig.upsert(item("p2", price=i), request_id=request_id) for i in range(2)))
    assert both[0].revision == both[1].revision
    with pytest.raises(InvalidArgument) as refused:
        await rig.upsert(item("p1"), request_id="x")
    assert refused.value.field == "request_id"


async def test_writers_of_one_product_do_not_lose_each_other(rig: Rig) -> None:
    """Writes that race for a product follow one another; photos that one of them did not give stay."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    await asyncio.gather(
        rig.upsert(item("p1", photos=[photo(2)])), *(rig.upsert(item("p1", price=i)) for i in range(3))
    )
    product = await rig.get("p1")
    assert len(product.photos) == 1
    rows = next(shard.products["p1"] for shard in rig.shards if "p1" in shard.products).rows
    assert rows.photos[0].photo_id == product.photos[0].id


async def test_large_batches_take_several_entries(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one entry cannot hold goes into several; the response tells the last revision."""
    monkeypatch.setattr("services.gateway.writing.MAX_ENTRY_BYTES", 4_000)
    response = await rig.upsert(*(item(f"p{i}", photos=[photo(i)]) for i in range(20)))
    assert response.revision > 3
    assert not any(result.status.code or result.unchanged for result in response.results)
    assert len((await _list(rig)).products) == 20


async def test_batches_are_bounded(rig: Rig) -> None:
    """No product, or more than 256, and a catalogue that is not there, are refused."""
    for count in (0, 257):
        with pytest.raises(InvalidArgument) as refused:
            await rig.upsert(*(item(f"p{i}") for i in range(count)))
        assert refused.value.field == "products"
    assert len((await rig.upsert(*(item(f"p{i}") for i in range(256)))).results) == 256
    with pytest.raises(NotFound):
        await rig.gateway.catalog.batch_upsert_products(
            catalog_pb2.BatchUpsertProductsRequest(catalog="catalogs/no", products=[item("p1")])
        )


async def test_another_model_is_refused(rig: Rig) -> None:
    """Photos are not embedded by other models than the generation's."""
    rig.embedder.digest = "d2"
    with pytest.raises(FailedPrecondition) as refused:
        await rig.upsert(item("p1", photos=[photo(1)]))
    assert refused.value.reason == "MODEL_MISMATCH"


async def test_without_the_store_writes_are_refused(rig: Rig) -> None:
    """A store that is away refuses writes and reads, and everything works once it is back."""
    rig.store.is_away = True
    with pytest.raises(Unavailable) as refused:
        await rig.upsert(item("p1"))
    assert refused.value.reason == "STORE_UNAVAILABLE"
    with pytest.raises(Unavailable):
        await rig.get("p1")
    rig.store.is_away = False
    assert not (await rig.upsert(item("p1"))).results[0].status.code


async def test_products_are_listed_by_id(rig: Rig) -> None:
    """Pages of products go through all of them once; a token is bound to its list."""
    await rig.upsert(*(item(f"p{i}") for i in range(7)))
    names: list[str] = []
    token = ""
    while True:
        page = await _list(rig, page_size=3, page_token=token)
        names += [each.name.rpartition("/")[2] for each in page.products]
        token = page.next_page_token
        if not token:
            break
        with pytest.raises(InvalidArgument):
            await rig.gateway.catalog.list_products(
                catalog_pb2.ListProductsRequest(parent="catalogs/other", page_token=token)
            )
    assert names == [f"p{i}" for i in range(7)]
    with pytest.raises(InvalidArgument) as refused:
        await _list(rig, page_size=-1)
    assert refused.value.field == "page_size"


async def test_a_deleted_product_is_gone(rig: Rig) -> None:
    """A deletion is a write; the product can come back with all that is new of it."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    await rig.delete("p1")
    await rig.sync()
    assert not any(shard.products for shard in rig.shards)
    with pytest.raises(NotFound):
        await rig.get("p1")
    with pytest.raises(NotFound):
        await rig.delete("p1")
    await rig.upsert(item("p1"))
    assert not (await rig.get("p1")).photos


async def test_many_photos_go_to_the_embedder_in_calls_that_it_takes(rig: Rig) -> None:
    """At most 64 pictures are in one call."""
    rig.embedder.fault.calls = 0
    await rig.upsert(*(item(f"p{i}", photos=[photo(2 * i), photo(2 * i + 1)]) for i in range(40)))
    assert rig.embedder.fault.calls == 2
    assert rig.embedder.images == 80


def test_an_entry_fits_a_document(tmp_path: Path) -> None:
    """The largest product is far below what an entry may hold."""
    largest = 16 * (2048 + 512 + 128) * 4 + 16 * 512 + 64 * 32 * 1024
    assert largest < interface.MAX_ENTRY_BYTES


async def test_an_unlucky_photo_is_not_taken_for_a_bad_one(rig: Rig) -> None:
    """Where the embedder failed for a photo, nothing is written and the caller may try again."""
    with pytest.raises(Unavailable):
        await rig.upsert(item("p1", photos=[photo(1), b"unlucky"]))
    with pytest.raises(NotFound):
        await rig.gateway.catalog.get_product(catalog_pb2.GetProductRequest(name="catalogs/shop/products/p1"))


async def test_a_products_photo_is_no_address(rig: Rig) -> None:
    """Photos of products are kept, so they are given as content."""
    product = item("p1")
    product.product.photos.add(image=common_pb2.Image(uri="https://shop.example/1.jpg"))
    response = await rig.upsert(product)
    assert "image.uri" in str(response.results[0])
