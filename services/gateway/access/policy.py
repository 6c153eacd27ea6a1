"""What every RPC of the gateway needs: the one table that gRPC and HTTP go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from services.gateway.access.caller import Caller
from services.mesh.errors import PermissionDenied
from vitrine.v1 import access_pb2, catalog_pb2, queries_pb2, search_pb2, status_pb2

Resources = Callable[[Any], Iterable[str]]
"""The names of what a request is about, such as `catalogs/{catalog}/products/{product}`."""

SERVICES = {
    service.name: service
    for module in (search_pb2, catalog_pb2, queries_pb2, access_pb2, status_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
"""What a gateway serves."""

_SEARCH = access_pb2.SCOPE_SEARCH
_WRITE = access_pb2.SCOPE_WRITE
_ADMIN = access_pb2.SCOPE_ADMIN
_CATALOGS = "catalogs"


@dataclass(frozen=True, slots=True)
class Need:
    """What an RPC needs.

    `resources` finds in its request what it is about; None for what is about no catalogue in particular,
    which callers who are limited to some may not do. `is_write` puts it into the audit log.
    """

    scope: access_pb2.Scope.ValueType
    resources: Resources | None
    is_write: bool = False

    def check(self, caller: Caller, request: Any) -> None:
        """Raise PermissionDenied when `caller` may not have `request` done."""
        if caller.scope < self.scope:
            wanted = access_pb2.Scope.Name(self.scope).removeprefix("SCOPE_").lower()
            raise PermissionDenied(f"needs the scope {wanted}", reason="SCOPE_MISSING")
        if not caller.catalogs:
            return
        if self.resources is None:
            raise PermissionDenied(
                "is about all catalogues, where this key or token is for some", reason="CATALOG_NOT_ALLOWED"
            )
        for resource in self.resources(request):
            kind, _, rest = resource.partition("/")
            if kind != _CATALOGS or rest.partition("/")[0] not in caller.catalogs:
                raise PermissionDenied(
                    "is about a catalogue that this key or token is not for", reason="CATALOG_NOT_ALLOWED"
                )


def _at(path: str) -> Resources:
    get = attrgetter(path)
    return lambda request: (get(request),)


def _of_batch(request: search_pb2.BatchSearchRequest) -> Iterable[str]:
    return (request.catalog, *(each.catalog for each in request.requests if each.catalog))


NEEDS = {
    "vitrine.v1.SearchService.Search": Need(_SEARCH, _at("catalog")),
    "vitrine.v1.SearchService.BatchSearch": Need(_SEARCH, _of_batch),
    "vitrine.v1.CatalogService.CreateCatalog": Need(_ADMIN, None, is_write=True),
    "vitrine.v1.CatalogService.GetCatalog": Need(_SEARCH, _at("name")),
    "vitrine.v1.CatalogService.ListCatalogs": Need(_SEARCH, None),
    "vitrine.v1.CatalogService.DeleteCatalog": Need(_ADMIN, _at("name"), is_write=True),
    "vitrine.v1.CatalogService.CreateGeneration": Need(_ADMIN, _at("parent"), is_write=True),
    "vitrine.v1.CatalogService.ActivateGeneration": Need(_ADMIN, _at("name"), is_write=True),
    "vitrine.v1.CatalogService.DeleteGeneration": Need(_ADMIN, _at("name"), is_write=True),
    "vitrine.v1.CatalogService.BatchUpsertProducts": Need(_WRITE, _at("catalog"), is_write=True),
    "vitrine.v1.CatalogService.CreateProduct": Need(_WRITE, _at("parent"), is_write=True),
    "vitrine.v1.CatalogService.UpdateProduct": Need(_WRITE, _at("product.name"), is_write=True),
    "vitrine.v1.CatalogService.GetProduct": Need(_SEARCH, _at("name")),
    "vitrine.v1.CatalogService.ListProducts": Need(_SEARCH, _at("parent")),
    "vitrine.v1.CatalogService.DeleteProduct": Need(_WRITE, _at("name"), is_write=True),
    "vitrine.v1.FeedService.Follow": Need(_ADMIN, None),
    "vitrine.v1.FeedService.Scan": Need(_ADMIN, None),
    "vitrine.v1.QueryService.RecordFeedback": Need(_SEARCH, _at("catalog")),
    "vitrine.v1.QueryService.ListQueries": Need(_ADMIN, _at("parent")),
    "vitrine.v1.QueryService.QueryStats": Need(_ADMIN, _at("parent")),
    "vitrine.v1.AccessService.CreateApiKey": Need(_ADMIN, None, is_write=True),
    "vitrine.v1.AccessService.ListApiKeys": Need(_ADMIN, None),
    "vitrine.v1.AccessService.DeleteApiKey": Need(_ADMIN, None, is_write=True),
    "vitrine.v1.StatusService.GetStatus": Need(_ADMIN, None),
    "vitrine.v1.StatusService.GetModels": Need(_ADMIN, None),
}
