"""What a search says: in JSON, in a form with a photo, as a photo alone, or in the query of the address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.gateway.http import body_reading, strict_json
from services.gateway.http.bodies.common import Image
from services.gateway.http.bodies.search import SearchOptions, SearchRequest
from services.gateway.http.body_reading import JSON_TYPE
from services.mesh.errors import InvalidArgument

FORM_TYPE = "multipart/form-data"
PHOTO_TYPE = "image/"

MAX_FILES = 8
MAX_FIELDS = 64
MAX_FIELD_BYTES = 1 << 20

_QUERY_FIELDS = ("text", "product")
_JSON_FIELDS = ("parts", "filter", "group_by")
_REPEATED_FIELDS = ("facets",)

_PARTS = [{"product": "4711"}, {"product": "4712", "weight": -0.5}]
_REFERENCE = "#/components/schemas/{model}"


async def read(request: Request, *, max_bytes: int) -> SearchRequest:
    """The search that a request with a body asks for.

    Raises InvalidArgument naming the field, and HTTPException for a body of another type.
    """
    kind = body_reading.content_type(request)
    if kind.startswith(PHOTO_TYPE):
        return _search([await request.body()], request.query_params.multi_items())
    for name in request.query_params:
        raise InvalidArgument(name, "belongs into the body, unless that is a photo")
    if kind == JSON_TYPE:
        return await body_reading.read(request, SearchRequest)
    if kind == FORM_TYPE:
        return await _of_form(request, max_bytes)
    raise HTTPException(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a search is {JSON_TYPE}, {FORM_TYPE} or {PHOTO_TYPE}*"
    )


def of_query(request: Request) -> SearchRequest:
    """The search that the query of an address asks for; raises InvalidArgument naming the field."""
    return _search([], request.query_params.multi_items())


async def _of_form(request: Request, max_bytes: int) -> SearchRequest:
    form = await _parse(request, max_bytes)
    photos: list[bytes] = []
    others: list[tuple[str, str]] = []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) != (name == "image"):
                raise InvalidArgument(name, "image is a file, and every other field is not")
            if isinstance(value, UploadFile):
                photos.append(await value.read())
            else:
                others.append((name, value))
    finally:
        await form.close()
    return _search(photos, others)


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


def _search(photos: Sequence[bytes], fields: Iterable[tuple[str, str]]) -> SearchRequest:
    """A search of these photos and fields.

    Without `parts` each photo is a part, and so is each `text` and `product`; with it the photos are those of
    its images that have none. Other fields are as in JSON.
    """
    document: dict[str, Any] = {}
    said: list[dict[str, Any]] = []
    for name, value in fields:
        if name in _QUERY_FIELDS:
            said.append({name: value})
        elif name in _REPEATED_FIELDS:
            document.setdefault(name, []).append(value)
        elif name in document:
            raise InvalidArgument(name, "is given twice")
        else:
            document[name] = _json(name, value) if name in _JSON_FIELDS else value
    if "parts" not in document:
        document["parts"] = [{"image": {"content": photo}} for photo in photos] + said
        return body_reading.validated(SearchRequest, document)
    for name in (name for part in said for name in part):
        raise InvalidArgument(name, "belongs into parts, where there are parts")
    search = body_reading.validated(SearchRequest, document)
    _hand_out(photos, search)
    return search


def _hand_out(photos: Sequence[bytes], search: SearchRequest) -> None:
    """Give each image that has neither content nor address the next photo; raises InvalidArgument."""
    wanting: list[tuple[int, Image]] = [
        (place, part.image)
        for place, part in enumerate(search.parts)
        if part.image is not None and part.image.content is None and part.image.uri is None
    ]
    if len(wanting) > len(photos):
        place, _ = wanting[len(photos)]
        raise InvalidArgument(f"parts[{place}].image", "has no content, no uri, and no file is left for it")
    if len(wanting) < len(photos):
        raise InvalidArgument("image", f"there are {len(photos)} files for {len(wanting)} images of parts")
    for (_, image), photo in zip(wanting, photos, strict=True):
        image.content = photo


def _json(name: str, value: str) -> Any:
    try:
        return strict_json.loads(value.encode())
    except InvalidArgument as error:
        raise error.under(name) from error


def form_schema() -> dict[str, Any]:
    """The JSON schema of the form; parts and options refer to the components of their names."""
    photo = {
        "type": "array",
        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        "description": "Photos, each a file.",
    }
    words = {"type": "string", "description": "Words.", "examples": ["red shoes"]}
    product = {"type": "string", "description": "A product of the catalogue."}
    parts = {
        "type": "string",
        "contentMediaType": JSON_TYPE,
        "contentSchema": _parts_schema(),
        "description": "The query as the `parts` of JSON, instead of `text` and `product`. "
        "An image with neither `content` nor `uri` is the next of the files.",
        "examples": ['[{"image": {"box": {"left": 0, "top": 0, "right": 0.5, "bottom": 1}}}]'],
    }
    properties = {"image": photo, "text": words, "product": product, "parts": parts}
    return {
        "allOf": [
            {"$ref": "#/components/schemas/SearchOptions"},
            {"type": "object", "properties": properties},
        ],
    }


def _parts_schema() -> dict[str, Any]:
    schema = SearchRequest.model_json_schema(ref_template=_REFERENCE)
    parts: dict[str, Any] = schema["properties"]["parts"]
    return parts


def query_parameters() -> list[dict[str, Any]]:
    """The parameters of the query, as OpenAPI has them."""
    words = {"type": "string", "examples": ["red shoes"]}
    parameters: list[dict[str, Any]] = [
        {"name": "text", "in": "query", "description": "Words to search.", "schema": words},
        {
            "name": "product",
            "in": "query",
            "description": "A product of the catalogue to search the like of.",
            "schema": {"type": "string", "examples": ["4711"]},
        },
        {
            "name": "parts",
            "in": "query",
            "description": "The query as the `parts` of JSON, instead of `text` and `product`.",
            "content": {JSON_TYPE: {"schema": _parts_schema(), "example": _PARTS}},
        },
    ]
    properties = SearchOptions.model_json_schema(ref_template=_REFERENCE)["properties"]
    for name, option in properties.items():
        # Only JSON has a null.
        (kind,) = [one for one in option["anyOf"] if one != {"type": "null"}]
        schema = kind | {key: value for key, value in option.items() if key == "examples"}
        parameter: dict[str, Any] = {"name": name, "in": "query", "description": option["description"]}
        if name in _JSON_FIELDS:
            parameter["content"] = {JSON_TYPE: {"schema": schema}}
        else:
            parameter["schema"] = schema
        parameters.append(parameter)
    return parameters
