from __future__ import annotations

from hypothesis import given

from services.gateway import masks
from services.gateway.etags import etag_of
from tests.gateway.products_drawn import products
from vitrine.v1 import catalog_pb2


def _stated(product: catalog_pb2.Product) -> tuple[object, ...]:
    return (
        product.title,
        product.description,
        {name: [each.text for each in values.values] for name, values in product.attributes.items()},
        [(photo.id, photo.digest) for photo in product.photos],
    )


@given(products(), products())
def test_an_etag_names_what_the_shop_states(one: catalog_pb2.Product, other: catalog_pb2.Product) -> None:
    """Etags are equal when, and only when, what is stated is equal, whatever the order of attributes."""
    assert (etag_of(one) == etag_of(other)) == (_stated(one) == _stated(other))


@given(products())
def test_what_the_catalogue_adds_changes_no_etag(product: catalog_pb2.Product) -> None:
    """Revision, time, labels, near duplicates and pictures are not in it."""
    bare = masks.applied(masks.STATED, product, catalog_pb2.Product())
    for photo in bare.photos:
        photo.ClearField("media_path")
        photo.ClearField("width")
    assert etag_of(bare) == etag_of(product)
    assert len(etag_of(product)) == 16
