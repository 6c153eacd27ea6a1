"""Catalogues and their generations."""

from __future__ import annotations

from services.mesh import names
from vitrine.client import catalogs
from vitrine.client.catalogs import Catalog, Generation
from vitrine.client.operations.operation import Operation, Page, Timeouts, catalog_name
from vitrine.v1 import catalog_pb2

_PAGE_SIZE = 100


def create_catalog(
    own: str, timeouts: Timeouts, /, catalog: str | None = None
) -> Operation[catalog_pb2.CreateCatalogResponse, Catalog]:
    """Create a catalogue, this client's own when none is named."""
    return Operation(
        "/vitrine.v1.CatalogService/CreateCatalog",
        catalog_pb2.CreateCatalogRequest(catalog_id=names.check_catalog_id(catalog or own, "catalog")),
        catalog_pb2.CreateCatalogResponse,
        timeouts.read_s,
        lambda response, _: catalogs.catalog_of(response.catalog),
    )


def get_catalog(
    own: str, timeouts: Timeouts, /, catalog: str | None = None
) -> Operation[catalog_pb2.GetCatalogResponse, Catalog]:
    """Read a catalogue, this client's own when none is named."""
    return Operation(
        "/vitrine.v1.CatalogService/GetCatalog",
        catalog_pb2.GetCatalogRequest(name=catalog_name(catalog or own)),
        catalog_pb2.GetCatalogResponse,
        timeouts.read_s,
        lambda response, _: catalogs.catalog_of(response.catalog),
    )


def list_catalogs(
    _own: str, timeouts: Timeouts, page_token: str, /
) -> Operation[catalog_pb2.ListCatalogsResponse, Page[Catalog]]:
    """All catalogues by id."""
    return Operation(
        "/vitrine.v1.CatalogService/ListCatalogs",
        catalog_pb2.ListCatalogsRequest(page_size=_PAGE_SIZE, page_token=page_token),
        catalog_pb2.ListCatalogsResponse,
        timeouts.read_s,
        lambda response, _: Page(
            [catalogs.catalog_of(catalog) for catalog in response.catalogs], response.next_page_token
        ),
    )


def delete_catalog(
    own: str, timeouts: Timeouts, /, catalog: str | None = None, *, force: bool = False
) -> Operation[catalog_pb2.DeleteCatalogResponse, None]:
    """Delete a catalogue, this client's own when none is named, and with `force` one that has products."""
    return Operation(
        "/vitrine.v1.CatalogService/DeleteCatalog",
        catalog_pb2.DeleteCatalogRequest(name=catalog_name(catalog or own), force=force),
        catalog_pb2.DeleteCatalogResponse,
        timeouts.read_s,
        lambda *_: None,
    )


def create_generation(
    own: str, timeouts: Timeouts, /
) -> Operation[catalog_pb2.CreateGenerationResponse, Generation]:
    """Begin to embed all products with the models that the embedder serves now; `await_generation` waits."""
    return Operation(
        "/vitrine.v1.CatalogService/CreateGeneration",
        catalog_pb2.CreateGenerationRequest(parent=catalog_name(own)),
        catalog_pb2.CreateGenerationResponse,
        timeouts.read_s,
        lambda response, _: catalogs.generation_of(response.generation),
    )


def activate_generation(
    own: str, timeouts: Timeouts, /, generation: str
) -> Operation[catalog_pb2.ActivateGenerationResponse, Catalog]:
    """Let searches use another generation; the catalogue as it is then."""
    return Operation(
        "/vitrine.v1.CatalogService/ActivateGeneration",
        catalog_pb2.ActivateGenerationRequest(name=_generation_name(own, generation)),
        catalog_pb2.ActivateGenerationResponse,
        timeouts.read_s,
        lambda response, _: catalogs.catalog_of(response.catalog),
    )


def delete_generation(
    own: str, timeouts: Timeouts, /, generation: str
) -> Operation[catalog_pb2.DeleteGenerationResponse, None]:
    """Delete a generation that is not the active one, and its vectors."""
    return Operation(
        "/vitrine.v1.CatalogService/DeleteGeneration",
        catalog_pb2.DeleteGenerationRequest(name=_generation_name(own, generation)),
        catalog_pb2.DeleteGenerationResponse,
        timeouts.read_s,
        lambda *_: None,
    )


def _generation_name(catalog: str, generation: str) -> str:
    name = names.generation_name(catalog, generation)
    names.parse_generation(name, "generation")
    return name
