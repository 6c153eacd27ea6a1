"""Field masks from names of fields."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from services.mesh.errors import InvalidArgument


def mask(fields: Sequence[str]) -> FieldMask:
    """The mask of some fields, such as `title` and `attributes.price`; empty, which means all, without any.

    Raises InvalidArgument for a single text, whose letters are no fields.
    """
    if isinstance(fields, str):
        raise InvalidArgument("fields", "is a list of names, not a text")
    return FieldMask(paths=fields)
