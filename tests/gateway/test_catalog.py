from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import code_pb2

from services.gateway.store import interface
from services.mesh import profiles
from services.mesh.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from services.mesh.vectors import decode
from tests.gateway.fakes import DIMENSIONS, photo, vector_of
from tests.gateway.rigs import CATALOG, Rig, item, rigged
from tests.mesh.fetch.servers import Server, reply, serving
from vitrine.v1 import catalog_pb2


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
    assert {stage.stage for stage in response.stages} == {
        "embed",
        "media",
        "classify",
        "duplicates",
        "commit",
    }
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
    assert await rig.gateway.media.data(first.media_path.removeprefix("/media/")) == photo(1)
    catalog = (await rig.gateway.catalog.get_catalog(catalog_pb2.GetCatalogRequest(name=CATALOG))).catalog
    assert (catalog.product_count, catalog.photo_count, catalog.revision) == (1, 2, response.revision)
    assert [len(shard.products) for shard in rig.shards].count(1) == 1


async def test_nothing_that_differs_is_nothing_written(rig: Rig) -> None:
    """The same product again is unchanged: no revision, no vector."""
    first = await rig.upsert(item("p1", photos=[photo(1)]))
    rig.embedder.images = 0
    again = await rig.upsert(item("p1", photos=[photo(1)]), item("p2", photos=[photo(2)]))
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
    rig.embedder.images = 0
    await rig.upsert(item("p1"), item("p3", photos=[photo(1)]))
    assert not rig.embedder.images


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
    await rig.upsert(item("p1", title="newer"))
    again = await rig.upsert(item("p1", photos=[photo(1)]), request_id=request_id.upper())
    assert again.results == first.results
    assert again.revision == first.revision
    assert (await rig.get("p1")).title == "newer"
    request_id = str(uuid.uuid4())
    both = await asyncio.gather(*(rig.upsert(item("p2", price=1), request_id=request_id) for _ in range(2)))
    assert both[0].revision == both[1].revision
    with pytest.raises(FailedPrecondition) as reused:
        await rig.upsert(item("p2", price=2), request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(InvalidArgument) as refused:
        await rig.upsert(item("p1"), request_id="x")
    assert refused.value.field == "request_id"


async def test_writers_of_one_product_do_not_lose_each_other(rig: Rig) -> None:
    """Writes that race for a product follow one another; photos that one of them did not give stay."""
    await rig.upsert(item("p1", photos=[photo(1)]))
    await asyncio.gather(
        rig.upsert(item("p1", photos=[photo(2)])), *(rig.upsert(item("p1", price=i)) for i in range(3))
    )
    # What each of them has brought to the shards may be older than the last of them.
    await rig.sync()
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
    """Where the embedder failed for a photo, its product is not written and the others are."""
    response = await rig.upsert(item("p1", photos=[photo(1), b"unlucky"]), item("p2", photos=[photo(2)]))
    assert [result.status.code for result in response.results] == [code_pb2.UNAVAILABLE, 0]
    with pytest.raises(NotFound):
        await rig.get("p1")
    assert len((await rig.get("p2")).photos) == 1


async def _create(rig: Rig, product_id: str, **fields: Any) -> catalog_pb2.CreateProductResponse:
    request = catalog_pb2.CreateProductRequest(parent=CATALOG, product_id=product_id, **fields)
    return await rig.gateway.catalog.create_product(request)


async def _update(
    rig: Rig, product: catalog_pb2.Product, *paths: str, **fields: Any
) -> catalog_pb2.UpdateProductResponse:
    request = catalog_pb2.UpdateProductRequest(product=product, update_mask=FieldMask(paths=paths), **fields)
    return await rig.gateway.catalog.update_product(request)


async def _delete(rig: Rig, product_id: str, **fields: Any) -> catalog_pb2.DeleteProductResponse:
    request = catalog_pb2.DeleteProductRequest(name=f"{CATALOG}/products/{product_id}", **fields)
    return await rig.gateway.catalog.delete_product(request)


async def test_a_product_is_created_once(rig: Rig) -> None:
    """As read afterwards; a second one is refused unless it is the same request."""
    product = item("p1", photos=[photo(1), b"bad"], price=3).product
    request_id = str(uuid.uuid4())
    made = await _create(rig, "p1", product=product, request_id=request_id)
    assert made.product == await rig.get("p1")
    assert [problem.index for problem in made.photo_problems] == [1]
    assert made.product.etag
    again = await _create(rig, "p1", product=product, request_id=request_id)
    assert again == made
    with pytest.raises(AlreadyExists):
        await _create(rig, "p1", product=product)
    with pytest.raises(InvalidArgument) as refused:
        await _create(rig, "p 2", product=product)
    assert refused.value.field == "product_id"
    with pytest.raises(InvalidArgument) as refused:
        await _create(rig, "p2", product=item("p2", title="x" * 1001).product)
    assert refused.value.field == "product.title"
    with pytest.raises(InvalidArgument) as refused:
        await _create(rig, "p2", product=item("p2", photos=[b"bad"]).product)
    assert refused.value.field == "product.photos[0].image.content"


async def test_requests_that_race_are_one(rig: Rig) -> None:
    """A creation that is sent twice at the same time succeeds twice and writes once."""
    request_id = str(uuid.uuid4())
    product = item("p1", photos=[photo(1)]).product
    both = await asyncio.gather(
        *(_create(rig, "p1", product=product, request_id=request_id) for _ in range(2))
    )
    assert both[0] == both[1]


async def test_an_update_changes_what_its_mask_names(rig: Rig) -> None:
    """Single attributes come and go, photos stay, and `*` is all of it."""
    await rig.upsert(item("p1", photos=[photo(1)], title="Shoe", price=1, size="9"))
    change = item("p1", title="Boot", price=2, weight="heavy").product
    after = (await _update(rig, change, "attributes.price", "attributes.size", "description")).product
    assert after.title == "Shoe"
    assert after.attributes["price"].values[0].number == 2
    assert set(after.attributes) == {"price", "colour"}
    assert len(after.photos) == 1
    after = (await _update(rig, change)).product
    assert after.title == "Boot"
    assert set(after.attributes) == {"price", "colour", "weight"}
    assert len(after.photos) == 1
    assert after == await rig.get("p1")
    after = (await _update(rig, item("p1", photos=[photo(2)]).product, "photos")).product
    assert after.title == "Boot"
    assert [each.digest for each in after.photos] != []
    after = (await _update(rig, change, "*")).product
    assert not after.photos
    assert not after.labels


async def test_an_update_of_what_is_not_there(rig: Rig) -> None:
    """It is refused, or creates the product where that is asked for."""
    with pytest.raises(NotFound):
        await _update(rig, item("p1").product, "title")
    made = await _update(rig, item("p1", title="Shoe", price=1).product, "title", allow_missing=True)
    assert made.product.title == "Shoe"
    assert not made.product.attributes
    with pytest.raises(InvalidArgument) as refused:
        await _update(rig, item("p1").product, "labels")
    assert refused.value.field == "update_mask"
    with pytest.raises(InvalidArgument) as refused:
        await _update(rig, catalog_pb2.Product(name="p1"), "title")
    assert refused.value.field == "product.name"
    with pytest.raises(InvalidArgument) as refused:
        await _update(rig, item("p1", Bad="x").product, "attributes")
    assert refused.value.field == "product.attributes[Bad]"


async def test_updates_cannot_pile_up_attributes(rig: Rig) -> None:
    """What a product has and what is added are bounded together."""
    product = item("p1").product
    for number in range(63):
        product.attributes[f"a{number}"].values.add().text = "x"
    await _create(rig, "p1", product=product)
    with pytest.raises(InvalidArgument) as refused:
        await _update(rig, item("p1", b="x").product, "attributes.b")
    assert refused.value.field == "product.attributes"


async def test_an_etag_guards_a_product(rig: Rig) -> None:
    """Writes and deletions with another etag than the product's are refused, alone and in batches."""
    await rig.upsert(item("p1", photos=[photo(1)]), item("p2"))
    before = await rig.get("p1")
    changed = (await _update(rig, item("p1", title="new").product, "title")).product
    assert changed.etag != before.etag
    stale = item("p1", title="newer")
    stale.product.etag = before.etag
    response = await rig.upsert(stale, item("p2", title="new"))
    assert [result.status.code for result in response.results] == [code_pb2.ABORTED, 0]
    assert response.results[0].status.reason == "ETAG_MISMATCH"
    with pytest.raises(Aborted):
        await _update(rig, stale.product, "title")
    with pytest.raises(Aborted):
        await _delete(rig, "p1", etag=before.etag)
    fresh = item("p1", title="newer")
    fresh.product.etag = changed.etag
    response = await rig.upsert(fresh)
    assert response.results[0].etag == (await rig.get("p1")).etag
    back = item("p1")
    assert (await rig.upsert(back)).results[0].etag == before.etag
    await _delete(rig, "p1", etag=before.etag)
    gone = item("p1")
    gone.product.etag = before.etag
    assert (await rig.upsert(gone)).results[0].status.reason == "ETAG_MISMATCH"


async def test_only_one_of_those_who_hold_an_etag_wins(rig: Rig) -> None:
    """Of writers who have read the same, one is done and the others are told."""
    await rig.upsert(item("p1"))
    etag = (await rig.get("p1")).etag

    async def write(number: int) -> bool:
        product = item("p1", title=f"t{number}").product
        product.etag = etag
        try:
            await _update(rig, product, "title")
        except Aborted:
            return False
        return True

    assert sum(await asyncio.gather(*(write(number) for number in range(6)))) == 1


async def test_a_deletion_can_be_repeated(rig: Rig) -> None:
    """With its request id it has its revision again, and where none need be there it succeeds."""
    await rig.upsert(item("p1"))
    request_id = str(uuid.uuid4())
    first = await _delete(rig, "p1", request_id=request_id)
    await rig.upsert(item("p1"))
    assert await _delete(rig, "p1", request_id=request_id) == first
    await rig.get("p1")
    request_id = str(uuid.uuid4())
    both = await asyncio.gather(*(_delete(rig, "p1", request_id=request_id) for _ in range(4)))
    assert len({response.revision for response in both}) == 1
    with pytest.raises(NotFound):
        await _delete(rig, "p1")
    assert (await _delete(rig, "p1", allow_missing=True)).revision > first.revision


async def test_what_changed_nothing_is_done_once_too(rig: Rig) -> None:
    """A retry of it does not undo what others have written after the first try."""
    await rig.upsert(item("p1", title="ours"))
    request_id = str(uuid.uuid4())
    first = await rig.upsert(item("p1", title="ours"), request_id=request_id)
    assert first.results[0].unchanged
    await rig.upsert(item("p1", title="theirs"))
    again = await rig.upsert(item("p1", title="ours"), request_id=request_id)
    assert (again.results, again.revision) == (first.results, first.revision)
    assert (await rig.get("p1")).title == "theirs"
    request_id = str(uuid.uuid4())
    gone = await _delete(rig, "p2", allow_missing=True, request_id=request_id)
    await rig.upsert(item("p2"))
    assert await _delete(rig, "p2", allow_missing=True, request_id=request_id) == gone
    await rig.get("p2")


async def test_what_failed_can_be_tried_again_with_its_id(rig: Rig) -> None:
    """A deletion of what is not there and a batch of which nothing was written keep no outcome."""
    request_id = str(uuid.uuid4())
    for _ in range(2):
        with pytest.raises(NotFound):
            await _delete(rig, "p1", request_id=request_id)
    unlucky = item("p1", photos=[b"unlucky"])
    request_id = str(uuid.uuid4())
    head = (await rig.store.bounds()).head
    for _ in range(2):
        response = await rig.upsert(unlucky, request_id=request_id)
        assert response.results[0].status.code == code_pb2.UNAVAILABLE
        assert response.revision == head
    assert await rig.store.bounds() == interface.Bounds(0, head)


async def test_confirmations_that_race_writers_are_true(rig: Rig) -> None:
    """A product that is told to be unchanged, or gone, was so at the revision that is told."""
    await rig.upsert(item("p1", title="ours"))

    title = "ours"
    for number in range(8):
        mine = rig.upsert(item("p1", title=title), request_id=str(uuid.uuid4()))
        theirs = rig.upsert(item("p1", title=f"t{number}"))
        confirmed, written = await asyncio.gather(mine, theirs)
        if confirmed.results[0].unchanged:
            assert confirmed.revision < written.revision
        title = (await rig.get("p1")).title


async def test_a_gateway_that_has_not_heard_of_a_write_confirms_it_all_the_same(
    rig: Rig, tmp_path: Path
) -> None:
    """The revision that it tells is one at which the state that it confirms can be seen."""
    async with rigged(tmp_path) as other:
        written = await other.upsert(item("p1", photos=[photo(1)]))
        assert (await rig.upsert(item("p1", photos=[photo(1)]))).revision >= written.revision
        refused = item("p1")
        refused.product.etag = "other"
        await other.upsert(item("p1", title="new"))
        assert (await rig.upsert(refused)).revision == (await other.store.bounds()).head
        deleted = await _delete(other, "p1")
        read = await rig.gateway.catalog.get_catalog(catalog_pb2.GetCatalogRequest(name=CATALOG))
        assert (read.catalog.product_count, read.catalog.revision) == (0, deleted.revision)
        assert (await _delete(rig, "p1", allow_missing=True)).revision >= deleted.revision


async def test_a_read_mask_narrows_what_is_read(rig: Rig) -> None:
    """Of one product and of a list; the name is always there."""
    await rig.upsert(item("p1", photos=[photo(1)], title="Shoe", price=1))
    request = catalog_pb2.GetProductRequest(
        name=f"{CATALOG}/products/p1", read_mask=FieldMask(paths=["etag", "attributes.price"])
    )
    product = (await rig.gateway.catalog.get_product(request)).product
    assert {field.name for field, _ in product.ListFields()} == {"name", "etag", "attributes"}
    assert set(product.attributes) == {"price"}
    [listed] = (await _list(rig, read_mask=FieldMask(paths=["title"]))).products
    assert listed == catalog_pb2.Product(name=product.name, title="Shoe")
    with pytest.raises(InvalidArgument) as refused:
        await _list(rig, read_mask=FieldMask(paths=["no"]))
    assert refused.value.field == "read_mask"


def _linked(product_id: str, *uris: str, photos: Sequence[bytes] = ()) -> catalog_pb2.UpsertProduct:
    made = item(product_id, photos=photos)
    for uri in uris:
        made.product.photos.add().image.uri = uri
    return made


@pytest.fixture
async def host() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
async def fetching(tmp_path: Path, host: Server) -> AsyncIterator[Rig]:
    """A gateway that may fetch from loopback, with a catalogue."""
    async with rigged(tmp_path, fetch_allowed_hosts=["127.0.0.1"]) as made:
        await made.create()
        yield made


async def test_photos_are_fetched_from_addresses_once(fetching: Rig, host: Server) -> None:
    """An address that a photo of the product came from stands for that photo."""
    host.replies = {"/1": reply(200, photo(1)), "/2": reply(200, photo(2))}
    one, two = f"{host.here}/1", f"{host.here}/2"
    first = await fetching.upsert(_linked("p1", one), _linked("p2", one))
    assert not any(result.status.code for result in first.results)
    product = await fetching.get("p1")
    assert [(each.uri, each.digest) for each in product.photos] == [
        (one, hashlib.sha256(photo(1)).hexdigest())
    ]
    assert host.paths == ["/1"]
    fetching.embedder.images = 0
    again = await fetching.upsert(_linked("p1", one))
    assert again.results[0].unchanged
    more = await fetching.upsert(_linked("p1", one, two))
    assert not more.results[0].unchanged
    assert [each.uri for each in (await fetching.get("p1")).photos] == [one, two]
    assert host.paths == ["/1", "/2"]
    assert fetching.embedder.images == 1


async def test_a_photo_that_cannot_be_fetched_does_not_fail_the_others(fetching: Rig, host: Server) -> None:
    """Its problem keeps its code, so that importers know what to try again."""
    host.replies = {"/busy": reply(503, b"")}
    busy, gone = f"{host.here}/busy", f"{host.here}/gone"
    response = await fetching.upsert(
        _linked("p1", busy, gone, photos=[photo(1)]), _linked("p2", gone), _linked("p3", gone, busy)
    )
    codes = [result.status.code for result in response.results]
    assert codes == [0, code_pb2.INVALID_ARGUMENT, code_pb2.UNAVAILABLE]
    problems = {problem.index: problem.status.code for problem in response.results[0].photo_problems}
    assert problems == {1: code_pb2.UNAVAILABLE, 2: code_pb2.INVALID_ARGUMENT}
    assert response.results[1].status.field == "photos[0].image.uri"
    assert len(response.results[2].photo_problems) == 2
    assert len((await fetching.get("p1")).photos) == 1


async def test_photos_that_are_too_large_together_are_fetched_in_turn(
    fetching: Rig, host: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there was no room for is asked for again, until all are there."""
    monkeypatch.setattr("services.gateway.photos.MAX_FETCHED_BYTES", int(2.5 * len(photo(1))))
    host.replies = {f"/{i}": reply(200, photo(i)) for i in range(7)}
    addresses = [f"{host.here}/{i}" for i in range(7)]
    response = await fetching.upsert(*(_linked(f"p{i}", uri) for i, uri in enumerate(addresses)))
    assert not any(result.status.code or result.photo_problems for result in response.results)
    for number, uri in enumerate(addresses):
        [kept] = (await fetching.get(f"p{number}")).photos
        assert (kept.uri, kept.digest) == (uri, hashlib.sha256(photo(number)).hexdigest())
