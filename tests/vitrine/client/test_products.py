from pathlib import Path

import pytest

from services.mesh.errors import InvalidArgument
from vitrine.client import products
from vitrine.client.products import (
    NearDuplicate,
    Photo,
    Product,
    batch_cutter,
    outcome_of,
    product_message,
    product_of,
    read_picture,
)
from vitrine.v1 import catalog_pb2


def test_a_product_survives_the_wire() -> None:
    """Title, description and attributes of every type come back as they were given."""
    product = Product("a1", "Shirt", "Blue.", {"colour": ["Blue", "White"], "price": 9.5, "sale": True})
    back = product_of(product_message("shop", product))
    assert (back.id, back.title, back.description, back.attributes) == (
        product.id,
        product.title,
        product.description,
        product.attributes,
    )


def test_a_product_that_was_read_can_be_written_again() -> None:
    """Photos without content are those the product has: none is sent, and so they stay."""
    read = Product("a1", photos=[Photo(id="p", digest="d")])
    assert not product_message("shop", read).photos


def test_photos_with_and_without_content_do_not_mix() -> None:
    """Giving the content of some photos alone would lose the others, and is refused."""
    with pytest.raises(InvalidArgument, match="all photos"):
        product_message("shop", Product("a1", photos=[Photo(content=b"x"), Photo(id="p")]))


def test_photos_are_given_by_address_too() -> None:
    """An address is sent as it is; one that was fetched before is sent again only beside a new one."""
    old, new = Photo(id="p", digest="d", uri="https://a.example/1.jpg"), Photo(uri="https://a.example/2.jpg")
    assert not product_message("shop", Product("a1", photos=[old])).photos
    message = product_message("shop", Product("a1", photos=[old, new, Photo(content=b"x")]))
    assert [photo.image.uri for photo in message.photos] == [old.uri, new.uri, ""]
    assert message.photos[2].image.content == b"x"


def test_what_the_gateway_adds_is_read() -> None:
    """The etag, where photos came from and what they are near duplicates of come with a product."""
    near = catalog_pb2.NearDuplicate(
        product="catalogs/shop/products/b", photo_id="p", other_photo_id="q", cosine=0.99
    )
    message = catalog_pb2.Product(
        name="catalogs/shop/products/a",
        etag="e1",
        photos=[catalog_pb2.Photo(id="p", uri="https://a.example/1.jpg")],
        near_duplicates=[near],
    )
    product = product_of(message)
    assert (product.etag, product.photos[0].uri) == ("e1", "https://a.example/1.jpg")
    assert product.near_duplicates == (NearDuplicate("b", "p", "q", 0.99),)
    assert outcome_of(catalog_pb2.UpsertResult(near_duplicates=[near])).near_duplicates[0].product == "b"
    assert product_message("shop", product).etag == "e1"


def test_a_bad_product_id_is_refused_before_it_is_sent() -> None:
    """An id that no product can have names the field."""
    with pytest.raises(InvalidArgument) as caught:
        product_message("shop", Product("a/b"))
    assert caught.value.field == "product.id"


def test_pictures_are_read_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing, empty, too large or a folder is refused; another is read whole."""
    monkeypatch.setattr(products, "MAX_PHOTO_BYTES", 8)
    for name, content in {"good": b"12345678", "large": b"123456789", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
    assert read_picture(tmp_path / "good", field="image") == b"12345678"
    assert Photo.read(tmp_path / "good").content == b"12345678"
    for name in ("large", "empty", "missing", "."):
        with pytest.raises(InvalidArgument) as caught:
            read_picture(tmp_path / name, field="image")
        assert caught.value.field == "image"


def test_batches_stay_within_both_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch has more products or bytes than a call takes, and none is lost."""
    monkeypatch.setattr(products, "BATCH_PRODUCTS", 3)
    monkeypatch.setattr(products, "MAX_BATCH_BYTES", 100)
    messages = [catalog_pb2.Product(name=f"{i:040}" if i > 4 else str(i)) for i in range(9)]
    cut = list(batch_cutter().cut(messages))
    assert [message for batch in cut for message in batch] == messages
    assert all(len(batch) <= 3 and sum(message.ByteSize() for message in batch) <= 100 for batch in cut)
    assert len(cut) == 4
