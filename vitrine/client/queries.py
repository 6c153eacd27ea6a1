"""Search requests from what a caller gives."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypedDict

from services.mesh import names
from services.mesh.errors import InvalidArgument
from vitrine.client import filters
from vitrine.client.masks import mask
from vitrine.client.products import read_picture
from vitrine.v1 import common_pb2, search_pb2

# The content of a picture, the path of a file, or an `http` or `https` address.
Picture = bytes | str | Path

_ADDRESS = ("http://", "https://")


class Box(NamedTuple):
    """A rectangle on a picture as fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Vector:
    """A vector in a space, of the model whose weights have that digest."""

    space: str
    model_digest: str
    values: Sequence[float]


@dataclass(frozen=True)
class Part:
    """One part of a query: a text, a picture, the id of a product, or a vector.

    A picture is its bytes, the path of a file, or an address that the embedder fetches; `box` is the part of
    it to look at. A negative weight asks for less like this: of liked and disliked products the average is
    searched for. At least one part is positive.
    """

    text: str | None = None
    image: Picture | None = None
    product: str | None = None
    weight: float = 1.0
    box: Box | None = None
    vector: Vector | None = None


@dataclass(frozen=True)
class GroupBy:
    """At most `size` hits, 1 to 10, of each value of an attribute."""

    attribute: str
    size: int = 1


class Query(TypedDict, total=False):
    """The arguments of a search: at least one of text, image, product and parts; several are mixed."""

    # Words.
    text: str | None
    # A picture: bytes, the path of a file, or an address.
    image: Picture | None
    # The id of a product; it is left out of the hits.
    product: str | None
    # More parts, each with its weight.
    parts: Sequence[Part]
    # Which products may answer.
    filter: filters.FilterSpec | None
    # Hits a page, 1 to 100; 10 when absent.
    k: int
    # Ranking profile, or the name of one space.
    profile: str
    # Return score terms, drops and what was understood of the query.
    explain: bool
    # Attributes to count among the products that pass the filter.
    facets: Sequence[str]
    # Count each facet as if the filter did not test its attribute.
    disjunctive_facets: bool
    # From the page before; the rest must be the same.
    page_token: str
    # See every write up to this revision.
    min_revision: int
    # How old a cached answer may be; 0 for none.
    max_staleness_s: float | None
    # Refuse an answer that lacks a shard.
    refuse_partial: bool
    # At most so many hits of each value of an attribute, over all pages.
    group_by: GroupBy | None
    # How much variety counts against score among the first 200 hits, 0 to 1; 0 when absent.
    diversity: float
    # Leave out hits with a lower similarity, 0 to 100; pages end there.
    min_similarity: float
    # Fields of the products to return, such as `title` and `attributes.price`; all without any.
    fields: Sequence[str]


def search_request(catalog: str, query: Query) -> search_pb2.SearchRequest:
    """The message of a search.

    Raises InvalidArgument naming the argument for an empty query, a file that cannot be read, a part that is
    not exactly one thing, or a bad catalogue id; TypeError for an argument that there is none of.
    """
    if unknown := sorted(set(query) - Query.__annotations__.keys()):
        raise TypeError(f"a search has no argument {unknown[0]!r}")
    names.check_catalog_id(catalog, "catalog")
    request = search_pb2.SearchRequest(
        catalog=names.catalog_name(catalog),
        parts=_part_messages(query),
        profile=query.get("profile", ""),
        k=query.get("k"),
        page_token=query.get("page_token", ""),
        explain=query.get("explain", False),
        facets=query.get("facets", ()),
        disjunctive_facets=query.get("disjunctive_facets", False),
        min_revision=query.get("min_revision", 0),
        refuse_partial=query.get("refuse_partial", False),
        diversity=query.get("diversity", 0.0),
        min_similarity=query.get("min_similarity", 0.0),
        read_mask=mask(fields) if (fields := query.get("fields")) else None,
    )
    if (group_by := query.get("group_by")) is not None:
        request.group_by.attribute = group_by.attribute
        request.group_by.size = group_by.size
    if (spec := query.get("filter")) is not None:
        request.filter.CopyFrom(filters.to_message(spec))
    if (max_staleness_s := query.get("max_staleness_s")) is not None:
        request.max_staleness.FromTimedelta(timedelta(seconds=max_staleness_s))
    return request


def _part_messages(query: Query) -> list[search_pb2.QueryPart]:
    single = (
        Part(text=query.get("text")),
        Part(image=query.get("image")),
        Part(product=query.get("product")),
    )
    messages = [_part_message(part, "") for part in single if part != Part()]
    messages += [_part_message(part, f"parts[{index}].") for index, part in enumerate(query.get("parts", ()))]
    if not messages:
        raise InvalidArgument("query", "is empty: give a text, an image or a product")
    return messages


def _part_message(part: Part, path: str) -> search_pb2.QueryPart:
    given = [each for each in (part.text, part.image, part.product, part.vector) if each is not None]
    if len(given) != 1:
        raise InvalidArgument(
            path.rstrip(".") or "query", "a part is exactly one of text, image, product and vector"
        )
    if part.box is not None and part.image is None:
        raise InvalidArgument(f"{path}box", "is of an image, of which there is none")
    message = search_pb2.QueryPart(weight=part.weight if part.weight != 1.0 else None)
    if part.text is not None:
        message.text = part.text
    if part.product is not None:
        message.product = part.product
    if part.image is not None:
        message.image.CopyFrom(_image(part.image, part.box, f"{path}image"))
    if part.vector is not None:
        message.vector.CopyFrom(_vector(part.vector))
    return message


def _image(picture: Picture, box: Box | None, field: str) -> common_pb2.Image:
    image = common_pb2.Image()
    if box is not None:
        image.box.CopyFrom(common_pb2.BoundingBox(**box._asdict()))
    if isinstance(picture, bytes):
        image.content = picture
    elif isinstance(picture, str) and picture.lower().startswith(_ADDRESS):
        image.uri = picture
    else:
        image.content = read_picture(picture, field=field)
    return image


def _vector(vector: Vector) -> common_pb2.Vector:
    return common_pb2.Vector(
        space=vector.space,
        model_digest=vector.model_digest,
        encoding=common_pb2.VECTOR_ENCODING_FLOAT32,
        data=struct.pack(f"<{len(vector.values)}f", *vector.values),
    )
