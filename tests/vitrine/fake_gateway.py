"""A gateway without a mesh behind it, over real gRPC, for the client and the commands."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.mesh import names, status
from services.mesh.errors import AlreadyExists, InvalidArgument, NotFound, VitrineError
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, search_pb2, search_pb2_grpc

BAD_PHOTO = b"not a picture"


class FakeGateway(search_pb2_grpc.SearchServiceServicer, catalog_pb2_grpc.CatalogServiceServicer):
    """Keeps products in memory and finds them by id; `failures` are what the next calls answer with."""

    def __init__(self) -> None:
        self.catalogs: dict[str, dict[str, catalog_pb2.Product]] = {}
        self.failures: deque[VitrineError] = deque()
        self.searches: list[search_pb2.SearchRequest] = []
        self.upserts: list[catalog_pb2.BatchUpsertProductsRequest] = []
        self.revision = 0
        self.address = ""

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[FakeGateway]:
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        search_pb2_grpc.add_SearchServiceServicer_to_server(self, server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self, server)
        healths = health.HealthServicer()
        healths.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healths, server)
        self.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()

    def Search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        self._fail(context)
        self.searches.append(request)
        products = self._products(request.catalog, context)
        if not request.k and request.HasField("k"):
            _abort(context, InvalidArgument("k", "must be 1 to 100"))
        start, k = int(request.page_token or 0), request.k or 10
        found = [products[name] for name in sorted(products)]
        page = found[start : start + k]
        return search_pb2.SearchResponse(
            hits=[
                search_pb2.Hit(
                    product=product,
                    photo_id="p1",
                    score=0.5,
                    similarity=81.0,
                    band=search_pb2.BAND_HIGH,
                    terms=[
                        common_pb2.ScoreTerm(name="visual.clip", value=0.5, weight=1.0, contribution=0.5),
                    ]
                    if request.explain
                    else [],
                    group_value="Red" if request.HasField("group_by") else None,
                )
                for product in page
            ],
            next_page_token=str(start + k) if start + k < len(found) else "",
            query_id="q1",
            revision=self.revision,
            generation="g1",
            shards_ok=1,
            shards_total=1,
            degraded=["ranker"],
            cache=search_pb2.CACHE_OUTCOME_MISS,
            profile=request.profile or "similar",
            stages=[common_pb2.StageTiming(stage="search", duration_ms=1.5)],
            facets=[
                common_pb2.Facet(
                    attribute=name,
                    values=[
                        common_pb2.FacetValue(value=common_pb2.AttributeValue(text="Red"), count=len(found))
                    ],
                )
                for name in request.facets
            ],
            group_by=request.group_by if request.HasField("group_by") else None,
            diversity=request.diversity,
        )

    def CreateCatalog(self, request: Any, context: Any) -> catalog_pb2.CreateCatalogResponse:
        self._fail(context)
        if request.catalog_id in self.catalogs:
            _abort(context, AlreadyExists("there is one"))
        self.catalogs[request.catalog_id] = {}
        return catalog_pb2.CreateCatalogResponse(catalog=self._catalog(request.catalog_id))

    def GetCatalog(self, request: Any, context: Any) -> catalog_pb2.GetCatalogResponse:
        self._fail(context)
        self._products(request.name, context)
        return catalog_pb2.GetCatalogResponse(catalog=self._catalog(request.name.rpartition("/")[2]))

    def ListCatalogs(self, request: Any, context: Any) -> catalog_pb2.ListCatalogsResponse:
        self._fail(context)
        return catalog_pb2.ListCatalogsResponse(
            catalogs=[self._catalog(name) for name in sorted(self.catalogs)]
        )

    def BatchUpsertProducts(self, request: Any, context: Any) -> catalog_pb2.BatchUpsertProductsResponse:
        self.upserts.append(request)
        self._fail(context)
        products = self._products(request.catalog, context)
        results = [self._upsert(products, item.product) for item in request.products]
        return catalog_pb2.BatchUpsertProductsResponse(results=results, revision=self.revision)

    def GetProduct(self, request: Any, context: Any) -> catalog_pb2.GetProductResponse:
        self._fail(context)
        products = self._products(request.name.rpartition("/products/")[0], context)
        if request.name not in products:
            _abort(context, NotFound(f"there is no {request.name}"))
        return catalog_pb2.GetProductResponse(product=products[request.name])

    def ListProducts(self, request: Any, context: Any) -> catalog_pb2.ListProductsResponse:
        self._fail(context)
        products = self._products(request.parent, context)
        start, size = int(request.page_token or 0), min(request.page_size or 100, 2)
        page = [products[name] for name in sorted(products)][start : start + size]
        token = str(start + size) if start + size < len(products) else ""
        return catalog_pb2.ListProductsResponse(products=page, next_page_token=token)

    def DeleteProduct(self, request: Any, context: Any) -> catalog_pb2.DeleteProductResponse:
        self._fail(context)
        products = self._products(request.name.rpartition("/products/")[0], context)
        if products.pop(request.name, None) is None:
            _abort(context, NotFound(f"there is no {request.name}"))
        self.revision += 1
        return catalog_pb2.DeleteProductResponse(revision=self.revision)

    def _fail(self, context: Any) -> None:
        if self.failures:
            _abort(context, self.failures.popleft())

    def _products(self, catalog: str, context: Any) -> dict[str, catalog_pb2.Product]:
        products = self.catalogs.get(catalog.rpartition("/")[2])
        if products is None:
            _abort(context, NotFound(f"there is no {catalog}"))
        return products

    def _catalog(self, catalog: str) -> catalog_pb2.Catalog:
        generation = common_pb2.Generation(
            id="g1",
            spaces=[common_pb2.SpaceSpec(space="clip")],
            profiles=[common_pb2.Profile(name="similar")],
        )
        count = len(self.catalogs[catalog])
        return catalog_pb2.Catalog(
            name=names.catalog_name(catalog),
            active_generation=generation,
            product_count=count,
            photo_count=count,
            revision=self.revision,
        )

    def _upsert(
        self, products: dict[str, catalog_pb2.Product], product: catalog_pb2.Product
    ) -> catalog_pb2.UpsertResult:
        result = catalog_pb2.UpsertResult(product=product.name)
        bad = status.to_item(InvalidArgument("photo", "is not a picture"))
        is_bad = [photo.image.content.startswith(BAD_PHOTO) for photo in product.photos]
        if any(is_bad) and all(is_bad):
            result.status.CopyFrom(bad)
            return result
        result.photo_problems.extend(
            catalog_pb2.PhotoProblem(index=index, status=bad) for index, is_it in enumerate(is_bad) if is_it
        )
        stored = catalog_pb2.Product()
        stored.CopyFrom(product)
        del stored.photos[:]
        stored.photos.extend(
            catalog_pb2.Photo(id=photo.id, digest=hashlib.sha256(photo.image.content).hexdigest())
            for photo, is_it in zip(product.photos, is_bad, strict=True)
            if not is_it
        )
        there = products.get(product.name)
        if there is not None:
            stored.revision = there.revision
            result.unchanged = there == stored
        if not result.unchanged:
            self.revision += 1
            stored.revision = self.revision
            products[product.name] = stored
        return result


def _abort(context: Any, error: VitrineError) -> NoReturn:
    code, message, trailing = status.abort_arguments(error)
    context.set_trailing_metadata(trailing)
    context.abort(code, message)
    raise AssertionError("abort raises")
