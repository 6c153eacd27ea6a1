"""What the models are made of: the scalars of proto3 JSON and the bases of messages.

Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MAX_MASK_PATHS = 100
# For readers of the description; which paths there are is the flows' to say.
MASK_PATTERN = r"^([a-z_]+(\.[a-z0-9_]+)?(,[a-z_]+(\.[a-z0-9_]+)?)*)?$"

_Item = TypeVar("_Item")


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return binascii.a2b_base64(value, strict_mode=True)
        except ValueError as error:
            raise ValueError("is not base64") from error
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", value):
        return timedelta(seconds=float(value[:-1]))
    if isinstance(value, timedelta):
        return value
    raise ValueError("must be seconds followed by an s, such as 2.5s")


def _time(value: Any) -> Any:
    # Pydantic alone would take numbers too, and guess whether they are seconds or milliseconds.
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"[0-9]{4}-[0-9]{2}-", value)):
        return value
    raise ValueError("must be a time such as 2026-03-01T12:00:00Z")


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be in the years 1 to 9999") from error


def _number(value: Any) -> Any:
    # To Python a bool is an integer.
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic makes a refusal of ValueError alone
    return value


def mask_paths(value: str) -> list[str]:
    """The paths of a field mask; raises ValueError for too many."""
    paths = [path.strip() for path in value.split(",")] if value.strip() else []
    if len(paths) > MAX_MASK_PATHS or not all(paths):
        raise ValueError(f"must be 1 to {MAX_MASK_PATHS} paths separated by commas")
    return paths


def _mask(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be paths separated by commas")  # noqa: TRY004 - as in _number
    return {"paths": mask_paths(value)}


Base64 = Annotated[
    bytes,
    BeforeValidator(_decode),
    WithJsonSchema({"type": "string", "format": "byte", "contentEncoding": "base64"}),
]
Seconds = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?s$", "examples": ["2.5s"]}),
]
Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_time),
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T12:00:00Z"]}),
]
Mask = Annotated[
    dict[str, list[str]],
    BeforeValidator(_mask),
    WithJsonSchema({"type": "string", "pattern": MASK_PATTERN, "examples": ["title,attributes.price"]}),
]
Double = Annotated[float, BeforeValidator(_number)]
Int32 = Annotated[int, Field(ge=-(1 << 31), le=(1 << 31) - 1), BeforeValidator(_number)]
Int64 = Annotated[
    int,
    Field(ge=-(1 << 63), le=(1 << 63) - 1),
    BeforeValidator(_number),
    WithJsonSchema({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$", "examples": ["42"]}),
]
Several = Annotated[list[_Item], Field(fail_fast=True)]


class Model(BaseModel):
    """Base: what is not known is refused, so that a misspelt field is noticed."""

    model_config = ConfigDict(
        extra="forbid", validate_by_name=True, validate_by_alias=True, allow_inf_nan=False
    )

    def to_fields(self) -> dict[str, Any]:
        """What the constructor of the proto of the same name takes."""
        return self.model_dump(exclude_none=True, by_alias=True)


class OneOf(Model):
    """Base of messages of which exactly one field may be set."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        choices = [name for name in type(self).model_fields if name not in self._beside()]
        if sum(getattr(self, name) is not None for name in choices) != 1:
            raise ValueError(
                "exactly one of " + ", ".join(name.rstrip("_") for name in choices) + " must be set"
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema says so too."""
        schema = handler(core_schema)
        described = handler.resolve_ref_schema(schema)
        beside = cls._beside()
        described["oneOf"] = [
            {"required": [field.alias or name]}
            for name, field in cls.model_fields.items()
            if name not in beside
        ]
        return schema

    @classmethod
    def _beside(cls) -> frozenset[str]:
        """Fields that are not part of the choice."""
        return frozenset()
