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
from services.mesh.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    VitrineError,
)
from vitrine.v1 import (
    access_pb2,
    access_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    queries_pb2,
    queries_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)

BAD_PHOTO = b"not a picture"


class FakeGateway(
    search_pb2_grpc.SearchServiceServicer,
    catalog_pb2_grpc.CatalogServiceServicer,
    queries_pb2_grpc.QueryServiceServicer,
    access_pb2_grpc.AccessServiceServicer,
):
    """Keeps products in memory and finds them by id; `failures` are what the next calls answer with.

    A batch with a title of `refused_once` finds the gateway full, the first time. Where a `key` is set, calls
    without it are refused. A generation is ready once it was looked at twice.
    """

    def __init__(self) -> None:
        self.catalogs: dict[str, dict[str, catalog_pb2.Product]] = {}
        self.failures: deque[VitrineError] = deque()
        self.searches: list[search_pb2.SearchRequest] = []
        self.upserts: list[catalog_pb2.BatchUpsertProductsRequest] = []
        self.revision = 0
        self.address = ""
        self.key = ""
        self.has_new_models = True
        self.generations: list[catalog_pb2.GenerationStatus] = [_generation("g1", "ACTIVE")]
        self.looks = 0
        self.problem = ""
        self.feedback: list[queries_pb2.RecordFeedbackRequest] = []
        self.listed: list[Any] = []
        self.api_keys: dict[str, access_pb2.ApiKey] = {}
        self.refused_once: set[str] = set()
        self.most_writes_at_once = 0
        self._writes = 0

    @contextmanager
    def serving(self, port: int = 0, *, tls: grpc.ServerCredentials | None = None) -> Iterator[FakeGateway]:
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        search_pb2_grpc.add_SearchServiceServicer_to_server(self, server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self, server)
        queries_pb2_grpc.add_QueryServiceServicer_to_server(self, server)
        access_pb2_grpc.add_AccessServiceServicer_to_server(self, server)
        healths = health.HealthServicer()
        healths.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healths, server)
        address = f"127.0.0.1:{port}"
        bound = server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
        self.address = f"127.0.0.1:{bound}"
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()

    def Search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        self._fail(context)
        self.searches.append(request)
        return self._search(request, context)

    def BatchSearch(self, request: Any, context: Any) -> search_pb2.BatchSearchResponse:
        self._fail(context)
        self.searches.extend(request.requests)
        results = []
        for each in request.requests:
            if each.profile == "none":
                refused = status.to_item(InvalidArgument("profile", "there is no such profile"))
                results.append(search_pb2.BatchSearchResult(status=refused))
                continue
            each.catalog = request.catalog
            results.append(search_pb2.BatchSearchResult(response=self._search(each, context)))
        return search_pb2.BatchSearchResponse(results=results)

    def _search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        products = self._products(request.catalog, context)
        if not request.k and request.HasField("k"):
            _abort(context, InvalidArgument("k", "must be 1 to 100"))
        start, k = int(request.page_token or 0), request.k or 10
        found = [products[name] for name in sorted(products)]
        page = found[start : start + k]
        return search_pb2.SearchResponse(
            hits=[
                search_pb2.Hit(
                    product=_masked(product, request.read_mask),
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
                    ranges=[common_pb2.FacetRange(min=30, max=50, count=len(found))],
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

    def DeleteCatalog(self, request: Any, context: Any) -> catalog_pb2.DeleteCatalogResponse:
        self._fail(context)
        if self._products(request.name, context) and not request.force:
            _abort(context, FailedPrecondition("it has products", reason="NOT_EMPTY"))
        del self.catalogs[request.name.rpartition("/")[2]]
        return catalog_pb2.DeleteCatalogResponse()

    def CreateGeneration(self, request: Any, context: Any) -> catalog_pb2.CreateGenerationResponse:
        self._fail(context)
        self._products(request.parent, context)
        if self.generations[-1].state == catalog_pb2.GENERATION_STATE_BUILDING:
            _abort(context, FailedPrecondition("another one is being built", reason="BUILDING"))
        if not self.has_new_models:
            _abort(context, FailedPrecondition("they are those of the newest", reason="SAME_GENERATION"))
        made = _generation(
            f"g{int(self.generations[-1].generation.id[1:]) + 1}", "BUILDING", problem=self.problem
        )
        self.generations.append(made)
        self.looks = 0
        return catalog_pb2.CreateGenerationResponse(generation=made)

    def ActivateGeneration(self, request: Any, context: Any) -> catalog_pb2.ActivateGenerationResponse:
        self._fail(context)
        catalog, _, generation = request.name.rpartition("/generations/")
        found = self._find_generation(generation, context)
        if found.state == catalog_pb2.GENERATION_STATE_BUILDING:
            _abort(context, FailedPrecondition("it is still being built", reason="BUILDING"))
        for each in self.generations:
            if each.state == catalog_pb2.GENERATION_STATE_ACTIVE:
                each.state = catalog_pb2.GENERATION_STATE_READY
        found.state = catalog_pb2.GENERATION_STATE_ACTIVE
        return catalog_pb2.ActivateGenerationResponse(catalog=self._catalog(catalog.rpartition("/")[2]))

    def DeleteGeneration(self, request: Any, context: Any) -> catalog_pb2.DeleteGenerationResponse:
        self._fail(context)
        found = self._find_generation(request.name.rpartition("/")[2], context)
        if found.state == catalog_pb2.GENERATION_STATE_ACTIVE:
            _abort(context, FailedPrecondition("it is the active one", reason="ACTIVE"))
        self.generations.remove(found)
        return catalog_pb2.DeleteGenerationResponse()

    def BatchUpsertProducts(self, request: Any, context: Any) -> catalog_pb2.BatchUpsertProductsResponse:
        self.upserts.append(request)
        self._fail(context)
        if refused := self.refused_once & {item.product.title for item in request.products}:
            self.refused_once -= refused
            _abort(context, ResourceExhausted("full", retry_after_s=0.1))
        self._writes += 1
        self.most_writes_at_once = max(self.most_writes_at_once, self._writes)
        try:
            products = self._products(request.catalog, context)
            results = [self._upsert(products, item.product) for item in request.products]
            return catalog_pb2.BatchUpsertProductsResponse(results=results, revision=self.revision)
        finally:
            self._writes -= 1

    def CreateProduct(self, request: Any, context: Any) -> catalog_pb2.CreateProductResponse:
        self._fail(context)
        products = self._products(request.parent, context)
        request.product.name = f"{request.parent}/products/{request.product_id}"
        if request.product.name in products:
            _abort(context, AlreadyExists(f"there is {request.product.name} already"))
        result = self._upsert(products, request.product)
        return catalog_pb2.CreateProductResponse(
            product=products[request.product.name], photo_problems=result.photo_problems
        )

    def UpdateProduct(self, request: Any, context: Any) -> catalog_pb2.UpdateProductResponse:
        self._fail(context)
        name = request.product.name
        products = self._products(name.rpartition("/products/")[0], context)
        if name not in products and not request.allow_missing:
            _abort(context, NotFound(f"there is no {name}"))
        changed = catalog_pb2.Product(name=name)
        changed.MergeFrom(products.get(name, changed))
        if request.product.etag not in ("", changed.etag):
            _abort(context, Aborted("it was changed meanwhile", reason="ETAG_MISMATCH"))
        if request.update_mask.paths:
            request.update_mask.MergeMessage(request.product, changed, True, True)
        else:
            changed.MergeFrom(request.product)
        self._upsert(products, changed)
        return catalog_pb2.UpdateProductResponse(product=products[name])

    def GetProduct(self, request: Any, context: Any) -> catalog_pb2.GetProductResponse:
        self._fail(context)
        products = self._products(request.name.rpartition("/products/")[0], context)
        if request.name not in products:
            _abort(context, NotFound(f"there is no {request.name}"))
        return catalog_pb2.GetProductResponse(product=_masked(products[request.name], request.read_mask))

    def ListProducts(self, request: Any, context: Any) -> catalog_pb2.ListProductsResponse:
        self._fail(context)
        self.listed.append(request)
        products = self._products(request.parent, context)
        start, size = int(request.page_token or 0), min(request.page_size or 100, 2)
        found = [
            _masked(products[name], request.read_mask)
            for name in sorted(products)
            if products[name].near_duplicates or not request.near_duplicates_only
        ]
        page = found[start : start + size]
        token = str(start + size) if start + size < len(found) else ""
        return catalog_pb2.ListProductsResponse(products=page, next_page_token=token)

    def DeleteProduct(self, request: Any, context: Any) -> catalog_pb2.DeleteProductResponse:
        self._fail(context)
        products = self._products(request.name.rpartition("/products/")[0], context)
        found = products.get(request.name)
        if found is None and not request.allow_missing:
            _abort(context, NotFound(f"there is no {request.name}"))
        if found is not None:
            if request.etag not in ("", found.etag):
                _abort(context, Aborted("it was changed meanwhile", reason="ETAG_MISMATCH"))
            del products[request.name]
            self.revision += 1
        return catalog_pb2.DeleteProductResponse(revision=self.revision)

    def RecordFeedback(self, request: Any, context: Any) -> queries_pb2.RecordFeedbackResponse:
        self._fail(context)
        if request.query_id != "q1":
            _abort(context, NotFound("no query of that id is kept", reason="QUERY_UNKNOWN"))
        self.feedback.append(request)
        return queries_pb2.RecordFeedbackResponse()

    def ListQueries(self, request: Any, context: Any) -> queries_pb2.ListQueriesResponse:
        self._fail(context)
        self.listed.append(request)
        self._products(request.parent, context)
        query = queries_pb2.LoggedQuery(
            query_id="q1",
            texts=["red shoe"],
            image_count=1,
            profile="similar",
            hit_count=2,
            best_similarity=81.0,
            latency_ms=12.5,
            cache=search_pb2.CACHE_OUTCOME_HIT,
            feedback=[
                queries_pb2.Feedback(product="a0", kind=queries_pb2.FEEDBACK_KIND_ADD_TO_CART, place=3),
            ],
        )
        query.time.FromSeconds(1_700_000_000)
        other = queries_pb2.LoggedQuery(query_id="q0", products=["a1"])
        if request.page_token:
            return queries_pb2.ListQueriesResponse(queries=[other])
        return queries_pb2.ListQueriesResponse(queries=[query], next_page_token="1")

    def QueryStats(self, request: Any, context: Any) -> queries_pb2.QueryStatsResponse:
        self._fail(context)
        self.listed.append(request)
        return queries_pb2.QueryStatsResponse(
            query_count=40,
            zero_result_count=4,
            cached_count=10,
            engaged_count=20,
            latency_p50_ms=12.0,
            latency_p95_ms=30.0,
            latency_p99_ms=44.0,
            mean_reciprocal_rank=0.5,
            top_texts=[queries_pb2.TextCount(text="red shoe", count=9)],
            top_zero_result_texts=[queries_pb2.TextCount(text="moon boot", count=2)],
        )

    def CreateApiKey(self, request: Any, context: Any) -> access_pb2.CreateApiKeyResponse:
        self._fail(context)
        name = names.key_name(f"key{len(self.api_keys):05}")
        request.api_key.name = name
        request.api_key.create_time.FromSeconds(1_700_000_000)
        self.api_keys[name] = request.api_key
        return access_pb2.CreateApiKeyResponse(api_key=request.api_key, secret="vk_secret")

    def ListApiKeys(self, request: Any, context: Any) -> access_pb2.ListApiKeysResponse:
        self._fail(context)
        return access_pb2.ListApiKeysResponse(
            api_keys=[self.api_keys[name] for name in sorted(self.api_keys)]
        )

    def DeleteApiKey(self, request: Any, context: Any) -> access_pb2.DeleteApiKeyResponse:
        self._fail(context)
        if self.api_keys.pop(request.name, None) is None:
            _abort(context, NotFound(f"there is no {request.name}"))
        return access_pb2.DeleteApiKeyResponse()

    def _fail(self, context: Any) -> None:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        if self.key and shown != f"Bearer {self.key}":
            _abort(context, Unauthenticated("there is no such key"))
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
            generations=self._progress(),
        )

    def _progress(self) -> list[catalog_pb2.GenerationStatus]:
        self.looks += 1
        last = self.generations[-1]
        is_building = last.state == catalog_pb2.GENERATION_STATE_BUILDING
        if is_building and self.looks > 2 and not last.problem:
            last.state = catalog_pb2.GENERATION_STATE_READY
        return self.generations

    def _find_generation(self, generation: str, context: Any) -> catalog_pb2.GenerationStatus:
        found = next((each for each in self.generations if each.generation.id == generation), None)
        if found is None:
            _abort(context, NotFound(f"there is no generation {generation}"))
        return found

    def _upsert(
        self, products: dict[str, catalog_pb2.Product], product: catalog_pb2.Product
    ) -> catalog_pb2.UpsertResult:
        result = catalog_pb2.UpsertResult(product=product.name)
        there = products.get(product.name)
        if product.etag and (there is None or product.etag != there.etag):
            result.status.CopyFrom(status.to_item(Aborted("was changed", reason="ETAG_MISMATCH")))
            return result
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
            catalog_pb2.Photo(
                id=photo.id,
                digest=photo.digest or hashlib.sha256(photo.image.content).hexdigest(),
                uri=photo.uri or photo.image.uri,
            )
            for photo, is_it in zip(product.photos, is_bad, strict=True)
            if not is_it
        )
        stored.ClearField("revision")
        stored.ClearField("etag")
        stored.etag = hashlib.sha256(stored.SerializeToString(deterministic=True)).hexdigest()[:16]
        if there is not None:
            stored.revision = there.revision
            result.unchanged = there == stored
        result.etag = stored.etag
        if not result.unchanged:
            self.revision += 1
            stored.revision = self.revision
            products[product.name] = stored
        return result


def _generation(id_: str, state: str, *, problem: str = "") -> catalog_pb2.GenerationStatus:
    return catalog_pb2.GenerationStatus(
        generation=common_pb2.Generation(
            id=id_,
            spaces=[common_pb2.SpaceSpec(space="clip")],
            profiles=[common_pb2.Profile(name="similar")],
        ),
        state=catalog_pb2.GenerationState.Value(f"GENERATION_STATE_{state}"),
        problem=problem,
    )


def _masked(product: catalog_pb2.Product, mask: Any) -> catalog_pb2.Product:
    if not mask.paths:
        return product
    shown = catalog_pb2.Product(name=product.name)
    mask.MergeMessage(product, shown)
    return shown


def _abort(context: Any, error: VitrineError) -> NoReturn:
    code, message, trailing = status.abort_arguments(error)
    context.set_trailing_metadata(trailing)
    context.abort(code, message)
    raise AssertionError("abort raises")
