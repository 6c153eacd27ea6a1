"""What a request says outside its body: ids in the path, options in the query, an etag in a header."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request
from fastapi.routing import APIRoute
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.http.bodies import base
from services.mesh import names
from services.mesh.errors import InvalidArgument

_ETAG = re.compile(r'"([\x21\x23-\x7e]{1,128})"')
_ANY_ETAG = "*"


def _id(description: str, pattern: str, example: str) -> Any:
    # The pattern is for readers: ids are checked by `names`, which knows better words for what is wrong.
    return Path(description=description, json_schema_extra={"pattern": pattern, "examples": [example]})


CatalogId = Annotated[str, _id("Id of the catalogue.", "^[a-z0-9][a-z0-9-]{0,62}$", "demo")]
ProductId = Annotated[str, _id("Id of the product.", "^(?!\\.{1,2}$)[A-Za-z0-9._~-]{1,128}$", "4711")]
GenerationId = Annotated[str, _id("Id of the generation.", "^g[1-9][0-9]{0,8}$", "g2")]
KeyId = Annotated[str, _id("Id of the key.", "^[a-z0-9]{8,32}$", "9f2c81d05b7e4a36")]
QueryId = Annotated[str, _id("As the search answered.", "^[0-9a-f]{16}$", "4bf92f3577b34da6")]

PageSize = Annotated[int, Query(ge=0, le=1000, description="1 to 1,000; 100 when absent.")]
PageToken = Annotated[str, Query(description="From the page before.")]
RequestId = Annotated[
    str,
    Query(
        description="A UUID; a repeated request with it writes nothing.", json_schema_extra={"format": "uuid"}
    ),
]
ReadMask = Annotated[
    str,
    Query(
        description="Fields of the product to return, separated by commas; all when absent.",
        json_schema_extra={"pattern": base.MASK_PATTERN, "examples": ["title,attributes.price"]},
    ),
]
UpdateMask = Annotated[
    str,
    Query(
        description="Fields to change, separated by commas: `title`, `description`, `attributes`, "
        "`attributes.{name}`, `photos`, or `*`; those that are set when absent.",
        json_schema_extra={"pattern": base.MASK_PATTERN, "examples": ["title,attributes.price"]},
    ),
]
AllowMissing = Annotated[bool, Query(description="Not to have the product is no error.")]
StartTime = Annotated[base.Timestamp | None, Query(description="Only from this time on.")]
EndTime = Annotated[base.Timestamp | None, Query(description="Only before this time.")]
IfMatch = Annotated[
    str | None,
    Header(
        description="The etag that the product must still have, in quotes, or `*`.",
        json_schema_extra={"pattern": '^("[!#-~]{1,128}"|\\*)$', "examples": ['"5d41402abc4b2a76"']},
    ),
]


def only_known(request: Request) -> None:
    """Raise InvalidArgument for a parameter of the query that the route does not have, or that comes twice.

    A misspelt `force` or `update_mask` must not be taken for none.
    """
    route = request.scope["route"]
    known = {field.alias for field in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            raise InvalidArgument(name, "there is no such parameter")
        if given.count(name) > 1:
            raise InvalidArgument(name, "is given twice")


def catalog_name(catalog: str) -> str:
    """The name of a catalogue by its id; raises InvalidArgument."""
    return names.catalog_name(names.check_catalog_id(catalog, "catalog"))


def product_name(catalog: str, product: str) -> str:
    """The name of a product by ids; raises InvalidArgument."""
    names.check_catalog_id(catalog, "catalog")
    return names.product_name(catalog, names.check_product_id(product, "product"))


def generation_name(catalog: str, generation: str) -> str:
    """The name of a generation by ids; raises InvalidArgument."""
    names.check_catalog_id(catalog, "catalog")
    name = names.generation_name(catalog, generation)
    names.parse_generation(name, "generation")
    return name


def key_name(key: str) -> str:
    """The name of an API key by its id; raises InvalidArgument."""
    name = names.key_name(key)
    try:
        names.parse_key(name, "key")
    except InvalidArgument as error:
        raise InvalidArgument("key", "a key id has 8 to 32 lower-case letters and digits") from error
    return name


def mask(paths: str, field: str) -> FieldMask:
    """A field mask as it is in a query; raises InvalidArgument naming `field`."""
    try:
        return FieldMask(paths=base.mask_paths(paths))
    except ValueError as error:
        raise InvalidArgument(field, str(error)) from error


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time as protos have it."""
    if time is None:
        return None
    made = Timestamp()
    made.FromDatetime(time)
    return made


def etag(header: str | None, given: str, field: str) -> str:
    """The etag that a product must have: of the header `If-Match`, or `given` in another place, `field`.

    Empty for any: without an etag, and for `*`. Raises InvalidArgument for several, for a weak one, which
    never matches (RFC 9110, 13.1.1), and when both places name different ones.
    """
    if header is None or header.strip() == _ANY_ETAG:
        return given
    found = _ETAG.fullmatch(header.strip())
    if found is None:
        raise InvalidArgument("if-match", "must be one strong etag in quotes, or *")
    if given and given != found[1]:
        raise InvalidArgument(field, "is another etag than that of If-Match")
    return found[1]
