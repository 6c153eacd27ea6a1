from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import masks
from services.mesh.errors import InvalidArgument
from tests.gateway.products_drawn import products
from vitrine.v1 import catalog_pb2

FIELDS = [field.name for field in catalog_pb2.Product.DESCRIPTOR.fields]
PATHS = st.lists(st.sampled_from([*FIELDS, "attributes.colour", "attributes.size"]), min_size=1)
WRITTEN = st.lists(st.sampled_from([*masks.STATED, "attributes.colour", "attributes.size"]))


def _copy(product: catalog_pb2.Product) -> catalog_pb2.Product:
    copy = catalog_pb2.Product()
    copy.CopyFrom(product)
    return copy


def _values(product: catalog_pb2.Product, path: str) -> object:
    """What a path means in a product, so that equal is equal."""
    if path.startswith("attributes."):
        return product.attributes.get(path.removeprefix("attributes."))
    value = getattr(product, path)
    if path == "attributes":
        return {name: str(each) for name, each in value.items()}
    return str(value)


@given(products(), PATHS)
def test_what_is_read_is_what_the_mask_names(product: catalog_pb2.Product, paths: list[str]) -> None:
    """Each field that is named, the name, and nothing else; the product itself stays as it was."""
    before = _copy(product)
    mask = FieldMask(paths=paths)
    masks.check(mask, "read_mask")
    read = masks.read(product, mask)
    assert product == before
    for path in ("name", *paths):
        assert _values(read, path) == _values(product, path)
    rest = _copy(read)
    for path in ("name", *paths):
        if path.startswith("attributes."):
            rest.attributes.pop(path.removeprefix("attributes."), None)
        else:
            rest.ClearField(path)  # type: ignore[arg-type]  # Drawn from the fields.
    assert rest == catalog_pb2.Product()


@pytest.mark.parametrize("paths", [[], ["*"], ["title", "*"]])
def test_a_mask_of_everything_reads_the_product_itself(paths: list[str]) -> None:
    """Nothing is copied where nothing is left out."""
    product = catalog_pb2.Product(title="Shoe")
    assert masks.read(product, FieldMask(paths=paths)) is product


@given(products(), products(), WRITTEN)
def test_what_is_written_is_what_the_mask_names(
    source: catalog_pb2.Product, target: catalog_pb2.Product, paths: list[str]
) -> None:
    """Each path is as in the source, gone where it has none, and all else as it was; twice is once."""
    before = _copy(target)
    after = masks.applied(paths, source, target)
    assert after is target
    for path in paths:
        assert _values(after, path) == _values(source, path)
    for path in FIELDS:
        named = [each for each in paths if each.partition(".")[0] == path]
        if not named:
            assert _values(after, path) == _values(before, path)
    once = _copy(after)
    assert masks.applied(paths, source, after) == once


@given(products())
def test_without_a_mask_what_is_set_is_written(product: catalog_pb2.Product) -> None:
    """The fields that a shop states and has given, and no others."""
    paths = masks.written(FieldMask(), product)
    assert set(paths) == {name for name in masks.STATED if getattr(product, name)}
    assert masks.written(FieldMask(paths=["*"]), product) == masks.STATED


@pytest.mark.parametrize(
    "path",
    ["no", "", "attributes.", "attributes.Bad", "attributes.a.b", "title.x", "photos.id", "nearDuplicates"],
)
def test_paths_that_no_product_has_are_refused(path: str) -> None:
    """With the field at fault and what there is instead."""
    with pytest.raises(InvalidArgument) as refused:
        masks.check(FieldMask(paths=["title", path]), "read_mask")
    assert refused.value.field == "read_mask"
    assert "attributes.{name}" in refused.value.message


@pytest.mark.parametrize("path", ["name", "etag", "labels", "revision", "update_time", "near_duplicates"])
def test_what_the_catalogue_makes_is_not_written(path: str) -> None:
    """An output, or the name, in an update mask is refused."""
    with pytest.raises(InvalidArgument) as refused:
        masks.written(FieldMask(paths=[path]), catalog_pb2.Product())
    assert refused.value.field == "update_mask"


def test_masks_are_bounded() -> None:
    """There are only so many things to name."""
    with pytest.raises(InvalidArgument):
        masks.check(FieldMask(paths=["title"] * (masks.MAX_PATHS + 1)), "read_mask")
    masks.check(FieldMask(paths=["title"] * masks.MAX_PATHS), "read_mask")
