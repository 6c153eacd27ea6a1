"""The client of the gateway, synchronous and for asyncio."""

from vitrine.client.asynchronous import AsyncClient
from vitrine.client.filters import Exists, FilterSpec, Not, Range
from vitrine.client.products import Catalog, Label, Photo, Product, UpsertOutcome, UpsertReport
from vitrine.client.queries import GroupBy, Part
from vitrine.client.results import Dropped, Facet, Hit, SearchResults, Term
from vitrine.client.synchronous import Client

__all__ = [
    "AsyncClient",
    "Catalog",
    "Client",
    "Dropped",
    "Exists",
    "Facet",
    "FilterSpec",
    "GroupBy",
    "Hit",
    "Label",
    "Not",
    "Part",
    "Photo",
    "Product",
    "Range",
    "SearchResults",
    "Term",
    "UpsertOutcome",
    "UpsertReport",
]
