"""The client of the gateway, synchronous and for asyncio."""

from vitrine.client.asynchronous import AsyncClient
from vitrine.client.catalogs import Catalog, Generation
from vitrine.client.connection import TlsFiles
from vitrine.client.filters import Exists, FilterSpec, Not, Range
from vitrine.client.keys import ApiKey, CreatedKey
from vitrine.client.operations import Timeouts
from vitrine.client.products import (
    Label,
    NearDuplicate,
    Photo,
    Product,
    UpsertOutcome,
    UpsertReport,
    Written,
)
from vitrine.client.queries import Box, GroupBy, Part, Vector
from vitrine.client.query_log import Feedback, LoggedQuery, QueryStats
from vitrine.client.results import Dropped, Facet, FacetRange, Hit, SearchResults, Term
from vitrine.client.synchronous import Client

__all__ = [
    "ApiKey",
    "AsyncClient",
    "Box",
    "Catalog",
    "Client",
    "CreatedKey",
    "Dropped",
    "Exists",
    "Facet",
    "FacetRange",
    "Feedback",
    "FilterSpec",
    "Generation",
    "GroupBy",
    "Hit",
    "Label",
    "LoggedQuery",
    "NearDuplicate",
    "Not",
    "Part",
    "Photo",
    "Product",
    "QueryStats",
    "Range",
    "SearchResults",
    "Term",
    "Timeouts",
    "TlsFiles",
    "UpsertOutcome",
    "UpsertReport",
    "Vector",
    "Written",
]
