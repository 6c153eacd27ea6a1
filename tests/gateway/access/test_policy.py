from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from services.gateway.access import policy
from services.gateway.access.caller import Caller
from services.mesh.errors import PermissionDenied
from vitrine.v1 import access_pb2, catalog_pb2, queries_pb2, search_pb2

SERVICES = (
    "SearchService",
    "CatalogService",
    "FeedService",
    "QueryService",
    "AccessService",
    "StatusService",
)
METHODS = [method for service in SERVICES for method in policy.SERVICES[service].methods]

SEARCHER = Caller("s", access_pb2.SCOPE_SEARCH)
WRITER = Caller("w", access_pb2.SCOPE_WRITE)
ADMIN = Caller("a", access_pb2.SCOPE_ADMIN)


def may(caller: Caller, method: str, request: Message) -> bool:
    try:
        policy.NEEDS[f"vitrine.v1.{method}"].check(caller, request)
    except PermissionDenied:
        return False
    return True


def test_every_rpc_has_an_entry() -> None:
    """An RPC that is added to the contract says what it needs, and none is left that is gone."""
    assert {method.full_name for method in METHODS} == policy.NEEDS.keys()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_request_says_what_it_is_about(method: Any) -> None:
    """The table can look into an empty request of each RPC, which is about no catalogue that is allowed."""
    need = policy.NEEDS[method.full_name]
    request = method.input_type._concrete_class()
    need.check(ADMIN, request)
    with pytest.raises(PermissionDenied):
        need.check(Caller("a", access_pb2.SCOPE_ADMIN, frozenset({"shop"})), request)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_a_request_with_a_catalogue_is_tied_to_it(method: Any) -> None:
    """A request that names a resource of a catalogue is about that catalogue, whichever field names it."""
    descriptor = method.input_type
    names = {"catalog", "parent", "name"} & set(descriptor.fields_by_name)
    named = {name for name in names if descriptor.fields_by_name[name].message_type is None}
    need = policy.NEEDS[method.full_name]
    if descriptor.full_name.startswith("vitrine.v1.DeleteApiKey"):
        return
    assert not named or need.resources is not None
    if need.resources is None:
        return
    request = descriptor._concrete_class()
    for name in named:
        setattr(request, name, "catalogs/other/products/p")
    if "product" in descriptor.fields_by_name and descriptor.fields_by_name["product"].message_type:
        request.product.name = "catalogs/other/products/p"
    assert all(name.startswith("catalogs/other") for name in need.resources(request))
    assert list(need.resources(request))


def test_scopes_include_each_other() -> None:
    """Who may write may search, and who may do everything may do both; never the other way round."""
    search = search_pb2.SearchRequest(catalog="catalogs/shop")
    write = catalog_pb2.BatchUpsertProductsRequest(catalog="catalogs/shop")
    admin = catalog_pb2.CreateCatalogRequest(catalog_id="shop")
    allowed = [
        [
            may(caller, method, request)
            for method, request in (
                ("SearchService.Search", search),
                ("CatalogService.BatchUpsertProducts", write),
                ("CatalogService.CreateCatalog", admin),
            )
        ]
        for caller in (SEARCHER, WRITER, ADMIN)
    ]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize(
    "method",
    [
        "FeedService.Follow",
        "FeedService.Scan",
        "AccessService.CreateApiKey",
        "QueryService.ListQueries",
        "StatusService.GetStatus",
        "StatusService.GetModels",
    ],
)
def test_what_tells_of_others_needs_admin(method: str) -> None:
    """The feed, the query log, keys and the status of the mesh are for `admin` alone."""
    assert policy.NEEDS[f"vitrine.v1.{method}"].scope == access_pb2.SCOPE_ADMIN


class TestCatalogs:
    caller = Caller("k", access_pb2.SCOPE_WRITE, frozenset({"shop", "sale"}))

    @pytest.mark.parametrize(
        ("catalog", "is_allowed"),
        [
            ("catalogs/shop", True),
            ("catalogs/sale", True),
            ("catalogs/other", False),
            ("catalogs/shop2", False),
            ("catalogs/Shop", False),
            ("shop", False),
            ("products/shop", False),
            ("", False),
            ("catalogs/../shop", False),
            ("catalogs//shop", False),
        ],
    )
    def test_only_its_own(self, catalog: str, is_allowed: bool) -> None:
        """A key for some catalogues is for these alone, by their exact names."""
        request = search_pb2.SearchRequest(catalog=catalog)
        assert may(self.caller, "SearchService.Search", request) is is_allowed

    def test_no_part_of_a_batch_is_of_another(self) -> None:
        """One search of another catalogue makes a batch one that is not allowed."""
        request = search_pb2.BatchSearchRequest(catalog="catalogs/shop")
        request.requests.add()
        assert may(self.caller, "SearchService.BatchSearch", request)
        request.requests.add(catalog="catalogs/other")
        assert not may(self.caller, "SearchService.BatchSearch", request)

    def test_an_update_is_about_its_product(self) -> None:
        """The product's name says which catalogue an update is about."""
        request = catalog_pb2.UpdateProductRequest()
        request.product.name = "catalogs/shop/products/p"
        assert may(self.caller, "CatalogService.UpdateProduct", request)
        request.product.name = "catalogs/other/products/p"
        assert not may(self.caller, "CatalogService.UpdateProduct", request)

    def test_lists_of_all_catalogues_are_refused(self) -> None:
        """A key for some catalogues may read these, and not the list of all."""
        get = catalog_pb2.GetCatalogRequest(name="catalogs/shop")
        assert may(self.caller, "CatalogService.GetCatalog", get)
        assert not may(self.caller, "CatalogService.ListCatalogs", catalog_pb2.ListCatalogsRequest())

    def test_feedback_is_about_its_catalogue(self) -> None:
        """Feedback for another catalogue is refused."""
        request = queries_pb2.RecordFeedbackRequest(catalog="catalogs/other")
        assert not may(self.caller, "QueryService.RecordFeedback", request)
