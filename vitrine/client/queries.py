"""Search requests from what a caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

from services.mesh import names
from services.mesh.errors import InvalidArgument
from vitrine.client import filters
from vitrine.client.products import read_picture
from vitrine.v1 import common_pb2, search_pb2

Picture = bytes | str | Path


@dataclass(frozen=True)
class Part:
    """One part of a query: a text, a picture (bytes, or the path of a file), or the id of a product.

    A negative weight asks for less like this: of liked and disliked products the average is searched for.
    At least one part is positive.
    """

    text: str | None = None
    image: Picture | None = None
    product: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class GroupBy:
    """At most `size` hits, 1 to 10, of each value of an attribute."""

    attribute: str
    size: int = 1


class Query(TypedDict, total=False):
    """The arguments of a search: at least one of text, image, product and parts; several are mixed."""

    # Words.
    text: str | None
    # A picture: bytes, or the path of a file.
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
        min_revision=query.get("min_revision", 0),
        refuse_partial=query.get("refuse_partial", False),
        diversity=query.get("diversity", 0.0),
        min_similarity=query.get("min_similarity", 0.0),
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
    weight = part.weight if part.weight != 1.0 else None
    match part:
        case Part(text=str(text), image=None, product=None):
            return search_pb2.QueryPart(text=text, weight=weight)
        case Part(text=None, image=None, product=str(product)):
            return search_pb2.QueryPart(product=product, weight=weight)
        case Part(text=None, image=bytes(content), product=None):
            return search_pb2.QueryPart(image=common_pb2.Image(content=content), weight=weight)
        case Part(text=None, image=str() | Path() as file, product=None):
            content = read_picture(file, field=f"{path}image")
            return search_pb2.QueryPart(image=common_pb2.Image(content=content), weight=weight)
    raise InvalidArgument(path.rstrip(".") or "query", "a part is exactly one of text, image and product")
