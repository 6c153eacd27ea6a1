"""Searching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from services.mesh import status
from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.client import queries, results
from vitrine.client.operations.operation import Operation, Page, Timeouts, catalog_name
from vitrine.client.queries import Query
from vitrine.client.results import Hit, SearchResults
from vitrine.v1 import search_pb2

_SEARCH = "/vitrine.v1.SearchService/Search"


def search(
    catalog: str, timeouts: Timeouts, /, **query: Unpack[Query]
) -> Operation[search_pb2.SearchResponse, SearchResults]:
    """One page of the products most similar to the query; see `Query` for its arguments."""
    return Operation(
        _SEARCH,
        queries.search_request(catalog, query),
        search_pb2.SearchResponse,
        timeouts.read_s,
        results.results_of,
    )


def pages(
    catalog: str, timeouts: Timeouts, page_token: str, /, **query: Unpack[Query]
) -> Operation[search_pb2.SearchResponse, Page[SearchResults]]:
    """The pages of a search, one after the other, from the one of `page_token` to the last."""
    request = queries.search_request(catalog, query)
    request.page_token = page_token or request.page_token

    def read(response: search_pb2.SearchResponse, took_ms: float) -> Page[SearchResults]:
        return Page([results.results_of(response, took_ms)], response.next_page_token)

    return Operation(_SEARCH, request, search_pb2.SearchResponse, timeouts.read_s, read)


def hits(
    catalog: str, timeouts: Timeouts, page_token: str, /, **query: Unpack[Query]
) -> Operation[search_pb2.SearchResponse, Page[Hit]]:
    """The hits of all pages of a search; `k` is how many are asked for at once."""
    operation = pages(catalog, timeouts, page_token, **query)

    def read(response: search_pb2.SearchResponse, took_ms: float) -> Page[Hit]:
        return Page(results.results_of(response, took_ms).hits, response.next_page_token)

    return Operation(_SEARCH, operation.request, search_pb2.SearchResponse, timeouts.read_s, read)


def batch_search(
    catalog: str, timeouts: Timeouts, /, searches: Sequence[Query]
) -> Operation[search_pb2.BatchSearchResponse, Sequence[SearchResults | VitrineError]]:
    """Answer up to 32 searches at once: in order, the results of each or the error that it ended with."""
    requests = []
    for index, query in enumerate(searches):
        try:
            request = queries.search_request(catalog, query)
        except InvalidArgument as error:
            raise error.under(f"searches[{index}]") from error
        request.ClearField("catalog")
        requests.append(request)

    def read(
        response: search_pb2.BatchSearchResponse, took_ms: float
    ) -> Sequence[SearchResults | VitrineError]:
        return tuple(
            results.results_of(result.response, took_ms)
            if result.HasField("response")
            else status.from_item(result.status)
            for result in response.results
        )

    return Operation(
        "/vitrine.v1.SearchService/BatchSearch",
        search_pb2.BatchSearchRequest(catalog=catalog_name(catalog), requests=requests),
        search_pb2.BatchSearchResponse,
        timeouts.read_s,
        read,
    )
