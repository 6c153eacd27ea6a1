"""What a search request's body says: JSON, or a form with a photo."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.gateway.http import models, problems
from services.mesh.errors import InvalidArgument

JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"

MAX_FILES = 8
MAX_FIELDS = 64
MAX_FIELD_BYTES = 1 << 20

_QUERY_FIELDS = ("image", "text", "product")
_JSON_FIELDS = ("filter", "group_by")
_REPEATED_FIELDS = ("facets",)


async def read(request: Request, *, max_bytes: int) -> models.SearchRequest:
    """The search that a request asks for.

    Raises InvalidArgument naming the field, and HTTPException for a body that is neither JSON nor a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == JSON_TYPE:
            return models.SearchRequest.model_validate_json(await request.body())
        if kind == FORM_TYPE:
            return models.SearchRequest.model_validate(await _read_form(request, max_bytes))
    except ValidationError as error:
        raise problems.of_validation(error.errors()) from error
    raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a search is {JSON_TYPE} or {FORM_TYPE}")


async def _read_form(request: Request, max_bytes: int) -> dict[str, Any]:
    form = await _parse(request, max_bytes)
    try:
        return await _fields(form)
    finally:
        await form.close()


async def _parse(request: Request, max_bytes: int) -> FormData:
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    # A shopper's photo is never written to disk, so what the body's limit lets in stays in memory.
    parser.spool_max_size = max_bytes
    try:
        return await parser.parse()
    except (MultiPartException, KeyError) as error:
        message = error.message if isinstance(error, MultiPartException) else "the form has no boundary"
        raise InvalidArgument("", message) from error


async def _fields(form: FormData) -> dict[str, Any]:
    """The fields of a SearchRequest: `image`, `text` and `product` become parts, others are as in JSON."""
    fields: dict[str, Any] = {"parts": []}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name == "image"):
            raise InvalidArgument(name, "image is a file, and every other field is not")
        if isinstance(value, UploadFile):
            fields["parts"].append({"image": {"content": await value.read()}})
        elif name in _QUERY_FIELDS:
            fields["parts"].append({name: value})
        elif name in _REPEATED_FIELDS:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = _json(name, value) if name in _JSON_FIELDS else value
    return fields


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise InvalidArgument(name, "is not JSON") from error


def form_schema() -> dict[str, Any]:
    """The JSON schema of the form; options refer to the component `SearchOptions`."""
    photo = {
        "type": "array",
        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        "description": "Photos, each a file.",
    }
    words = {"type": "string", "description": "Words.", "examples": ["red shoes"]}
    product = {"type": "string", "description": "A product of the catalogue."}
    return {
        "allOf": [
            {"$ref": "#/components/schemas/SearchOptions"},
            {"type": "object", "properties": {"image": photo, "text": words, "product": product}},
        ],
    }
