"""What can be asked of the gateway: each operation is a request, and how its response is read.

Written once for both clients, which differ only in how they wait. Every operation is a function of the
client's catalogue, its deadlines, and then what a caller gives; those that list are given a page token too.
"""

from vitrine.client.operations import catalogs, keys, products, queries, searches
from vitrine.client.operations.catalogs import create_catalog, get_catalog
from vitrine.client.operations.operation import Operation, Page, Response, Result, Timeouts
from vitrine.client.operations.products import upsert
from vitrine.client.refusals import NO_ANSWER, domain_error

__all__ = [
    "NO_ANSWER",
    "Operation",
    "Page",
    "Response",
    "Result",
    "Timeouts",
    "catalogs",
    "create_catalog",
    "domain_error",
    "get_catalog",
    "keys",
    "products",
    "queries",
    "searches",
    "upsert",
]
