"""Field masks of products: which fields are read, and which are written.

A path is a field of Product or `attributes.{name}`; `*` is all of them. Source: https://google.aip.dev/157,
https://google.aip.dev/161 and https://google.aip.dev/134.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from google.protobuf import field_mask_pb2

from services.gateway.attributes import MAX_ATTRIBUTES, is_name
from services.mesh.errors import InvalidArgument
from vitrine.v1 import catalog_pb2

EVERYTHING: Final = "*"
PHOTOS: Final = "photos"
STATED: Final = ("title", "description", "attributes", PHOTOS)
"""The fields that a shop states, which are those that can be written."""

_ATTRIBUTE = "attributes."
_FIELDS = frozenset(field.name for field in catalog_pb2.Product.DESCRIPTOR.fields)
# Every field once, and as many single attributes as a product can have.
MAX_PATHS: Final = len(_FIELDS) + MAX_ATTRIBUTES


def check(mask: field_mask_pb2.FieldMask, field: str) -> None:
    """Raise InvalidArgument naming `field` for a path that no product has."""
    _check(mask.paths, _FIELDS, field)


def read(product: catalog_pb2.Product, mask: field_mask_pb2.FieldMask) -> catalog_pb2.Product:
    """The product itself for a checked mask that wants all of it, else its name and what is wanted, anew."""
    if not mask.paths or EVERYTHING in mask.paths:
        return product
    return applied(("name", *mask.paths), product, catalog_pb2.Product())


def written(mask: field_mask_pb2.FieldMask, product: catalog_pb2.Product) -> tuple[str, ...]:
    """The paths that an update writes: those of the mask or, when it is empty, of what `product` has.

    Raises InvalidArgument (field `update_mask`) for a path that cannot be written.
    """
    _check(mask.paths, STATED, "update_mask")
    if EVERYTHING in mask.paths:
        return STATED
    return tuple(mask.paths) or tuple(name for name in STATED if getattr(product, name))


def applied(
    paths: Iterable[str], source: catalog_pb2.Product, target: catalog_pb2.Product
) -> catalog_pb2.Product:
    """`target` itself, with the fields of checked paths as `source` has them: gone where it has none."""
    wanted = set(paths)
    for field in target.DESCRIPTOR.fields:
        if field.name in wanted:
            target.ClearField(field.name)  # type: ignore[arg-type]  # The descriptor has no other names.
    for field, value in source.ListFields():
        if field.name not in wanted:
            continue
        if field.message_type is None:
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).MergeFrom(value)
    for path in wanted:
        if path.startswith(_ATTRIBUTE):
            name = path.removeprefix(_ATTRIBUTE)
            target.attributes.pop(name, None)
            # Reading a map of messages by an absent key would make it.
            if name in source.attributes:
                target.attributes[name].CopyFrom(source.attributes[name])
    return target


def _check(paths: Sequence[str], allowed: Collection[str], field: str) -> None:
    if len(paths) > MAX_PATHS:
        raise InvalidArgument(field, f"at most {MAX_PATHS} paths")
    for path in paths:
        if path in allowed or path == EVERYTHING:
            continue
        if not path.startswith(_ATTRIBUTE) or not is_name(path.removeprefix(_ATTRIBUTE)):
            known = ", ".join([*sorted(allowed), "attributes.{name}", EVERYTHING])
            raise InvalidArgument(field, f"no path {path[:80]!r}; there are {known}")
