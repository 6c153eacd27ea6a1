"""Flows that answer from a few drawn products, in place of the gateway's."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from google.protobuf.message import Message
from PIL import Image, ImageDraw

from services.gateway.media import Elsewhere
from services.mesh import errors
from services.mesh.stages import StageClock
from services.mesh.status import to_item
from vitrine.v1 import (
    access_pb2,
    catalog_pb2,
    common_pb2,
    embedder_pb2,
    queries_pb2,
    search_pb2,
    status_pb2,
)

COLOURS = {"red": "#c0392b", "blue": "#2c5f9e", "green": "#3c7a4a", "black": "#26262a", "beige": "#d3bd97"}
KINDS = {"shoes": "Footwear", "shirt": "Topwear", "bag": "Bags", "dress": "Dresses"}
GENDERS = ("Women", "Men", "Unisex")
# Each with its spaces, of which `clip` alone has a place for words.
PROFILES = {"similar": ("clip", "resnet50"), "resnet50": ("resnet50",), "own_mix": ("clip",)}

# Of the models of `g1`.
DIGESTS = {"clip": "cd" * 32, "resnet50": "ab" * 32}

# Products that are told to show the same as others, and how alike they are. The others do not name them.
NEAR_DUPLICATES = (
    ("shirt-blue-unisex", "shirt-blue-women", 1.0),
    ("shirt-blue-unisex", "shirt-blue-men", 0.993),
    ("bag-black-men", "bag-black-women", 0.971),
)

# Between which prices are counted; those of the products are all within.
PRICE_ENDS = (10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0)

# What is taken from every query: name, value and probability.
UNDERSTOOD = (
    ("gender", "Women", 1.0),
    ("category", "Footwear", 0.75),
    ("type", "shoes", 0.5),
    ("type", "boots", 0.5),
    ("colour", "White", 0.004),
)

# A model card with all that Markdown is used for in cards.
CARD = """# resnet50

What a photo looks like: shape, texture and colour together, in *2,048* numbers.

## Trained on

ImageNet-1k. **Not** on clothes; photos that hold several things are seen as one.

- 1.28 million photos
- 1,000 classes

| figure | value |
|---|---|
| mAP@R by type | 0.321 |
| R@1 by category | 0.879 |

The weights are `resnet50.safetensors`, under the MIT licence.
"""


@dataclass(frozen=True)
class HttpSettings:
    """What HTTP reads of the gateway's settings."""

    http_host: str = "127.0.0.1"
    http_names: Sequence[str] = ("vitrine",)
    access: str = "open"
    http_port: int = 0
    max_message_bytes: int = 4 << 20
    max_inflight: int = 8
    # Machines stall, and requests that a test holds back wait for it.
    default_timeout_s: float = 60.0
    drain_s: float = 1.0
    media_redirect_hosts: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None


@cache
def drawn(kind: str, colour: str) -> bytes:
    """A drawn product photo as PNG."""
    image = Image.new("RGB", (320, 400), "white")
    pen = ImageDraw.Draw(image)
    fill = COLOURS[colour]
    if kind == "shoes":
        pen.rounded_rectangle((40, 230, 285, 290), 30, fill=fill)
        pen.rounded_rectangle((40, 150, 130, 285), 24, fill=fill)
        pen.rectangle((40, 288, 285, 304), fill="#e8e4dc")
    elif kind == "shirt":
        pen.polygon(
            [
                (90, 90),
                (230, 90),
                (300, 160),
                (262, 198),
                (232, 170),
                (232, 320),
                (88, 320),
                (88, 170),
                (58, 198),
                (20, 160),
            ],
            fill=fill,
        )
        pen.ellipse((130, 68, 190, 118), fill="white")
    elif kind == "bag":
        pen.arc((100, 80, 220, 240), 180, 360, fill=fill, width=14)
        pen.rounded_rectangle((60, 160, 260, 320), 22, fill=fill)
    else:
        pen.polygon([(125, 70), (195, 70), (205, 170), (265, 350), (55, 350), (115, 170)], fill=fill)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Media:
    """Pictures in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, content: bytes) -> str:
        """Keep a picture; its media path."""
        name = f"{hashlib.sha256(content).hexdigest()}.png"
        (self._directory / name).write_bytes(content)
        return f"/media/{name}"

    async def shown(self, file: str) -> bytes | Elsewhere:
        """A picture."""
        if "/" in file or file.startswith(".") or not (self._directory / file).is_file():
            raise errors.NotFound("there is no such picture")
        return (self._directory / file).read_bytes()


def products(media: Media, catalog: str = "demo") -> list[catalog_pb2.Product]:
    """One product of every kind, colour and gender."""
    made: list[catalog_pb2.Product] = []
    for kind, category in KINDS.items():
        for colour in COLOURS:
            path = media.put(drawn(kind, colour))
            for gender in GENDERS:
                product_id = f"{kind}-{colour}-{gender.lower()}"
                product = catalog_pb2.Product(
                    name=f"catalogs/{catalog}/products/{product_id}",
                    title=f"{colour.capitalize()} {kind} for {gender.lower()}",
                    photos=[
                        catalog_pb2.Photo(
                            id="front", digest=path[7:71], media_path=path, width=320, height=400
                        )
                    ],
                    labels=[common_pb2.Label(name="category", value=category, probability=0.875)],
                    etag=f"e{len(made)}",
                )
                for name, text in (
                    ("gender", gender),
                    ("category", category),
                    ("colour", colour.capitalize()),
                ):
                    product.attributes[name].values.add(text=text)
                product.attributes["price"].values.add(number=10.0 + len(made) * 1.5)
                for one, other, cosine in NEAR_DUPLICATES:
                    if one == product_id:
                        product.near_duplicates.add(
                            product=f"catalogs/{catalog}/products/{other}",
                            photo_id="front",
                            other_photo_id="front",
                            cosine=cosine,
                        )
                made.append(product)
    return made


class Catalogs:
    """The catalogues `demo`, with products, and `other`, without."""

    def __init__(self, stock: list[catalog_pb2.Product]) -> None:
        self.stock = {product.name: product for product in stock}
        self.ids = ["demo", "other"]
        self.written: list[catalog_pb2.BatchUpsertProductsRequest] = []
        # What the next batches are refused with, and what befalls single products by their ids, as often.
        self.refusals: list[errors.VitrineError] = []
        self.failures: dict[str, list[errors.VitrineError]] = {}
        # One for each batch that has come; they are answered while the event is set.
        self.arrivals = asyncio.Semaphore(0)
        self.answers = asyncio.Event()
        self.answers.set()
        # Products of a page, however many are asked for.
        self.most = 1000
        self.listing_error: errors.VitrineError | None = None
        self.asked: list[Message] = []
        # Those of `demo` beside the active one.
        self.generations: list[catalog_pb2.GenerationStatus] = []

    async def create_catalog(
        self, request: catalog_pb2.CreateCatalogRequest
    ) -> catalog_pb2.CreateCatalogResponse:
        if request.catalog_id == "demo":
            raise errors.AlreadyExists("there is a catalogue demo already")
        self.ids.append(request.catalog_id)
        return catalog_pb2.CreateCatalogResponse(catalog=self._catalog(request.catalog_id))

    async def get_catalog(self, request: catalog_pb2.GetCatalogRequest) -> catalog_pb2.GetCatalogResponse:
        if request.name.removeprefix("catalogs/") not in self.ids:
            raise errors.NotFound(f"there is no {request.name}")
        return catalog_pb2.GetCatalogResponse(catalog=self._catalog(request.name.split("/")[1]))

    async def list_catalogs(
        self, request: catalog_pb2.ListCatalogsRequest
    ) -> catalog_pb2.ListCatalogsResponse:
        return catalog_pb2.ListCatalogsResponse(catalogs=[self._catalog(one) for one in self.ids])

    async def batch_upsert_products(
        self, request: catalog_pb2.BatchUpsertProductsRequest
    ) -> catalog_pb2.BatchUpsertProductsResponse:
        self.written.append(request)
        self.arrivals.release()
        await self.answers.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        results = [self._outcome(one.product.name) for one in request.products]
        return catalog_pb2.BatchUpsertProductsResponse(results=results, revision=1 << 40)

    async def get_product(self, request: catalog_pb2.GetProductRequest) -> catalog_pb2.GetProductResponse:
        self.asked.append(request)
        return catalog_pb2.GetProductResponse(product=self._product(request.name))

    async def list_products(
        self, request: catalog_pb2.ListProductsRequest
    ) -> catalog_pb2.ListProductsResponse:
        self.asked.append(request)
        if self.listing_error:
            raise self.listing_error
        start = _place(request.page_token)
        end = start + min(request.page_size or 100, self.most)
        own = [
            one
            for name, one in sorted(self.stock.items())
            if name.startswith(request.parent + "/")
            and (one.near_duplicates or not request.near_duplicates_only)
        ]
        token = str(end) if end < len(own) else ""
        return catalog_pb2.ListProductsResponse(products=own[start:end], next_page_token=token)

    async def create_product(
        self, request: catalog_pb2.CreateProductRequest
    ) -> catalog_pb2.CreateProductResponse:
        self.asked.append(request)
        made = catalog_pb2.Product()
        made.CopyFrom(request.product)
        made.name = f"{request.parent}/products/{request.product_id}"
        made.etag = "fresh"
        if made.name in self.stock:
            raise errors.AlreadyExists(f"there is {made.name} already")
        self.stock[made.name] = made
        return catalog_pb2.CreateProductResponse(product=made)

    async def update_product(
        self, request: catalog_pb2.UpdateProductRequest
    ) -> catalog_pb2.UpdateProductResponse:
        self.asked.append(request)
        known = self._product(request.product.name)
        _check_etag(known, request.product.etag)
        if request.product.title:
            known.title = request.product.title
        known.etag = "changed"
        return catalog_pb2.UpdateProductResponse(product=known)

    async def delete_product(
        self, request: catalog_pb2.DeleteProductRequest
    ) -> catalog_pb2.DeleteProductResponse:
        self.asked.append(request)
        if request.allow_missing and request.name not in self.stock:
            return catalog_pb2.DeleteProductResponse(revision=8)
        known = self._product(request.name)
        _check_etag(known, request.etag)
        del self.stock[known.name]
        return catalog_pb2.DeleteProductResponse(revision=8)

    async def delete_catalog(
        self, request: catalog_pb2.DeleteCatalogRequest
    ) -> catalog_pb2.DeleteCatalogResponse:
        self.asked.append(request)
        if request.name == "catalogs/demo" and not request.force:
            raise errors.FailedPrecondition("it has products", reason="NOT_EMPTY")
        return catalog_pb2.DeleteCatalogResponse()

    async def create_generation(
        self, request: catalog_pb2.CreateGenerationRequest
    ) -> catalog_pb2.CreateGenerationResponse:
        self.asked.append(request)
        made = catalog_pb2.GenerationStatus(state=catalog_pb2.GENERATION_STATE_BUILDING)
        made.generation.id = "g2"
        self.generations.append(made)
        return catalog_pb2.CreateGenerationResponse(generation=made)

    async def activate_generation(
        self, request: catalog_pb2.ActivateGenerationRequest
    ) -> catalog_pb2.ActivateGenerationResponse:
        self.asked.append(request)
        return catalog_pb2.ActivateGenerationResponse(catalog=self._catalog("demo"))

    async def delete_generation(
        self, request: catalog_pb2.DeleteGenerationRequest
    ) -> catalog_pb2.DeleteGenerationResponse:
        self.asked.append(request)
        if request.name.endswith("/g1"):
            raise errors.FailedPrecondition("it is the active one", reason="ACTIVE")
        self.generations = [one for one in self.generations if not request.name.endswith(one.generation.id)]
        return catalog_pb2.DeleteGenerationResponse()

    def _outcome(self, name: str) -> catalog_pb2.UpsertResult:
        product_id = name.rpartition("/")[2]
        if failures := self.failures.get(product_id):
            return catalog_pb2.UpsertResult(product=name, status=to_item(failures.pop(0)))
        known = self.stock.get(name, catalog_pb2.Product())
        return catalog_pb2.UpsertResult(
            product=name, unchanged=name in self.stock, etag=known.etag, near_duplicates=known.near_duplicates
        )

    def _product(self, name: str) -> catalog_pb2.Product:
        if name not in self.stock:
            raise errors.NotFound(f"there is no {name}")
        return self.stock[name]

    def _catalog(self, catalog_id: str) -> catalog_pb2.Catalog:
        count = len(self.stock) if catalog_id == "demo" else 0
        catalog = catalog_pb2.Catalog(name=f"catalogs/{catalog_id}", product_count=count, revision=7)
        catalog.create_time.FromSeconds(1_700_000_000)
        catalog.active_generation.id = "g1"
        generation = catalog.active_generation
        for space, accepts_text in (("resnet50", False), ("clip", True)):
            generation.spaces.add(space=space, accepts_text=accepts_text, model_digest=DIGESTS[space])
        for profile, spaces in PROFILES.items():
            generation.profiles.add(name=profile, weights={f"visual.{space}": 1.0 for space in spaces})
        catalog.generations.add(
            generation=generation, state=catalog_pb2.GENERATION_STATE_ACTIVE, product_count=count
        )
        if catalog_id == "demo":
            catalog.generations.extend(self.generations)
        return catalog


class Search:
    """Ranks by how many words of the query are in a title; a photo and a product rank by id."""

    def __init__(self, stock: list[catalog_pb2.Product]) -> None:
        self._stock = stock
        self.error: Exception | None = None
        self.degraded: list[str] = []
        # Hits of a page, however many are asked for.
        self.most = 100
        self.known = {"gender", "category", "colour", "price"}
        self.requests: list[search_pb2.SearchRequest] = []

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        self.requests.append(request)
        if self.error:
            raise self.error
        for i, facet in enumerate(request.facets):
            if facet not in self.known:
                raise errors.InvalidArgument(f"facets[{i}]", f"no product has the attribute {facet}")
        if not request.parts:
            raise errors.InvalidArgument("parts", "the query is empty")
        clock = StageClock()
        with clock.stage("search"):
            passing = [product for product in self._stock if _passes(product, request.filter)]
            ranked = sorted(passing, key=lambda product: (-self._score(product, request), product.name))
        start, k = _place(request.page_token), request.k if request.HasField("k") else 10
        if not 1 <= k <= 100:
            raise errors.InvalidArgument("k", "must be 1 to 100")
        k = min(k, self.most)
        hits = [self._hit(product, request) for product in ranked[start : start + k]]
        return search_pb2.SearchResponse(
            hits=hits,
            next_page_token=str(start + k) if start + k < len(ranked) else "",
            query_id="q1",
            revision=7,
            generation="g1",
            shards_ok=1,
            shards_total=1,
            stages=clock.timings,
            cache=search_pb2.CACHE_OUTCOME_MISS,
            facets=[_facet(name, self._counted(name, request)) for name in request.facets],
            query_labels=[
                common_pb2.Label(name=name, value=value, probability=probability)
                for name, value, probability in UNDERSTOOD
            ],
            profile=request.profile or "similar",
            degraded=self.degraded,
        )

    async def batch_search(self, request: search_pb2.BatchSearchRequest) -> search_pb2.BatchSearchResponse:
        results = []
        for one in request.requests:
            try:
                results.append(search_pb2.BatchSearchResult(response=await self.search(one)))
            except errors.VitrineError as error:
                results.append(search_pb2.BatchSearchResult(status=to_item(error)))
        return search_pb2.BatchSearchResponse(results=results)

    def _counted(self, facet: str, request: search_pb2.SearchRequest) -> list[catalog_pb2.Product]:
        clauses = [
            clause
            for clause in request.filter.all_of
            if not (request.disjunctive_facets and all(one.attribute == facet for one in clause.any_of))
        ]
        return [product for product in self._stock if _passes(product, common_pb2.Filter(all_of=clauses))]

    def _score(self, product: catalog_pb2.Product, request: search_pb2.SearchRequest) -> float:
        words = [word for part in request.parts for word in part.text.lower().split()]
        found = sum(word in product.title.lower().split() for word in words)
        return 0.3 + 0.6 * found / len(words) if words else 0.62

    def _hit(self, product: catalog_pb2.Product, request: search_pb2.SearchRequest) -> search_pb2.Hit:
        score = self._score(product, request)
        similarity = 100 * score
        bands = ((70, search_pb2.BAND_HIGH), (40, search_pb2.BAND_MEDIUM), (0, search_pb2.BAND_LOW))
        band = next(band for least, band in bands if similarity >= least)
        terms = [
            common_pb2.ScoreTerm(name="visual.clip", value=score, weight=0.5, contribution=score / 2),
            common_pb2.ScoreTerm(name="visual.resnet50", value=score, weight=0.4, contribution=score * 0.4),
            common_pb2.ScoreTerm(
                name="semantic.gender", value=0.5, weight=0.1, contribution=0.05, absent=True
            ),
        ]
        hit = search_pb2.Hit(product=product, photo_id="front", score=score, similarity=similarity, band=band)
        if request.explain:
            hit.terms.extend(terms)
        return hit


class Queries:
    """A log of one query, until another is given."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        one = queries_pb2.LoggedQuery(
            query_id="q1", texts=["red"], cache=search_pb2.CACHE_OUTCOME_MISS, latency_ms=1.5
        )
        one.time.FromSeconds(1_700_000_000)
        given = one.feedback.add(product="4711", kind=queries_pb2.FEEDBACK_KIND_LIKE)
        given.time.FromSeconds(1_700_000_001)
        self.log = [one]
        top = [queries_pb2.TextCount(text="red", count=1)]
        self.stats = queries_pb2.QueryStatsResponse(query_count=1, latency_p50_ms=1.5, top_texts=top)

    async def record_feedback(
        self, request: queries_pb2.RecordFeedbackRequest
    ) -> queries_pb2.RecordFeedbackResponse:
        self.asked.append(request)
        if request.query_id != "q1":
            raise errors.NotFound("no query of that id is kept", reason="QUERY_UNKNOWN")
        return queries_pb2.RecordFeedbackResponse()

    async def list_queries(self, request: queries_pb2.ListQueriesRequest) -> queries_pb2.ListQueriesResponse:
        self.asked.append(request)
        kept = [one for one in self.log if not (request.zero_results_only and one.hit_count)]
        start = _place(request.page_token)
        end = start + (request.page_size or 100)
        token = str(end) if end < len(kept) else ""
        return queries_pb2.ListQueriesResponse(queries=kept[start:end], next_page_token=token)

    async def query_stats(self, request: queries_pb2.QueryStatsRequest) -> queries_pb2.QueryStatsResponse:
        self.asked.append(request)
        return self.stats


class Status:
    """Two shards of two replicas: one of them lags, one is away. Two models, of which one has no weights."""

    def __init__(self) -> None:
        self.error: errors.VitrineError | None = None
        self.models = _models()
        self.told = status_pb2.GetStatusResponse(
            version="0.1.0",
            revision=1042,
            replicas=[
                _replica(0, "10.0.0.1:50060", status_pb2.REPLICA_STATE_CAUGHT_UP, lag=0, in_hand=2),
                _replica(0, "10.0.0.2:50060", status_pb2.REPLICA_STATE_CATCHING_UP, lag=318),
                _replica(1, "10.0.0.3:50060", status_pb2.REPLICA_STATE_CAUGHT_UP, lag=0),
                _replica(1, "10.0.0.4:50060", status_pb2.REPLICA_STATE_UNSPECIFIED, lag=42),
            ],
            dependencies=[
                status_pb2.DependencyStatus(name="embedder", available=True, latency_ms=1.25),
                status_pb2.DependencyStatus(name="ranker", available=True, latency_ms=0.75),
                status_pb2.DependencyStatus(name="store", available=True, latency_ms=0.5),
                status_pb2.DependencyStatus(
                    name="redis", problem="has not answered within 1 s", latency_ms=1000
                ),
            ],
            stages=[
                status_pb2.StageLatency(stage=stage, count=count, p50_ms=p50, p95_ms=p95, p99_ms=p99)
                for stage, count, p50, p95, p99 in (
                    ("embed", 1000, 9.5, 17.25, 31.0),
                    ("vectors", 212, 1.5, 3.25, 6.5),
                    ("search", 1000, 2.25, 6.75, 12.5),
                    ("rank", 1000, 3.5, 7.25, 15.0),
                    ("metadata", 1000, 0.5, 1.25, 4.0),
                    ("commit", 64, 2.0, 5.5, 9.0),
                )
            ],
            searches=status_pb2.SearchCounts(hit=6054, miss=12071, shared=105, bypass=3),
            cache_lookups=[
                status_pb2.CacheLookups(layer="memory", kind="answer", hit=6054, miss=12176, saved_s=85.25),
                status_pb2.CacheLookups(layer="memory", kind="vector", hit=1210, miss=10861, saved_s=11.5),
                status_pb2.CacheLookups(
                    layer="redis", kind="answer", hit=812, miss=11301, failed=4, skipped=59, saved_s=12.75
                ),
                status_pb2.CacheLookups(
                    layer="redis", kind="vector", hit=95, miss=10712, failed=2, skipped=52, saved_s=0.875
                ),
            ],
            cache_bytes=18 << 20,
        )
        self.told.start_time.FromSeconds(1_700_000_000)

    async def get_status(self, _request: status_pb2.GetStatusRequest) -> status_pb2.GetStatusResponse:
        if self.error:
            raise self.error
        return self.told

    async def get_models(self, _request: status_pb2.GetModelsRequest) -> status_pb2.GetModelsResponse:
        if self.error:
            raise self.error
        return status_pb2.GetModelsResponse(models=self.models)


class Keys:
    """Keys by name."""

    def __init__(self) -> None:
        self.kept: dict[str, access_pb2.ApiKey] = {}

    async def create_api_key(
        self, request: access_pb2.CreateApiKeyRequest
    ) -> access_pb2.CreateApiKeyResponse:
        key = access_pb2.ApiKey()
        key.CopyFrom(request.api_key)
        key.name = f"apiKeys/key{len(self.kept):05}"
        key.create_time.FromSeconds(1_700_000_000)
        self.kept[key.name] = key
        return access_pb2.CreateApiKeyResponse(api_key=key, secret="vk_secret")

    async def list_api_keys(self, _request: access_pb2.ListApiKeysRequest) -> access_pb2.ListApiKeysResponse:
        return access_pb2.ListApiKeysResponse(api_keys=list(self.kept.values()))

    async def delete_api_key(
        self, request: access_pb2.DeleteApiKeyRequest
    ) -> access_pb2.DeleteApiKeyResponse:
        if self.kept.pop(request.name, None) is None:
            raise errors.NotFound(f"there is no {request.name}")
        return access_pb2.DeleteApiKeyResponse()


class Gatekeeper:
    """Lets in who shows the secret, or everybody while there is none; tells who came."""

    def __init__(self) -> None:
        self.secret = ""
        self.error: errors.VitrineError | None = None
        self.peers: list[str] = []

    async def admit_call(self, metadata: Mapping[str, str | bytes], peer: str) -> None:
        self.peers.append(peer)
        if self.error:
            raise self.error
        shown = metadata.get("x-api-key") or str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if self.secret and shown != self.secret:
            raise errors.Unauthenticated("needs a key or a token", reason="CREDENTIAL_MISSING")


@dataclass
class Access:
    """Who may call."""

    gatekeeper: Gatekeeper = field(default_factory=Gatekeeper)
    flow: Keys = field(default_factory=Keys)


@dataclass
class Flows:
    """All flows of a gateway over one stock of products."""

    media: Media
    stock: list[catalog_pb2.Product] = field(default_factory=list)
    search: Search = field(init=False)
    catalog: Catalogs = field(init=False)
    queries: Queries = field(default_factory=Queries)
    status: Status = field(default_factory=Status)
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        self.search = Search(self.stock)
        self.catalog = Catalogs(self.stock)


def _models() -> list[embedder_pb2.ModelInfo]:
    return [
        embedder_pb2.ModelInfo(
            spec=common_pb2.SpaceSpec(
                space="resnet50", model_digest=DIGESTS["resnet50"], dimension=2048, model="resnet50"
            ),
            device="cpu",
            dtype="bfloat16",
            preprocessing=embedder_pb2.Preprocessing(
                image_size=224, mean=[123.68, 116.78, 103.94], std=[1, 1, 1]
            ),
            memory_bytes=47 << 20,
            default=True,
            card=CARD,
        ),
        embedder_pb2.ModelInfo(
            spec=common_pb2.SpaceSpec(space="clip", dimension=512, accepts_text=True, model="dual-encoder"),
            unavailable_reason="no weights of clip; `vitrine models pull` fetches them",
            default=True,
            card="# clip\n\nPhotos and words in one space.\n",
        ),
    ]


def _replica(
    shard: int, target: str, state: status_pb2.ReplicaState.ValueType, *, lag: int, in_hand: int = 0
) -> status_pb2.ReplicaStatus:
    return status_pb2.ReplicaStatus(
        set="shards",
        in_use=True,
        shard=shard,
        target=target,
        state=state,
        revision=1042 - lag,
        lag=lag,
        in_hand=in_hand,
        products=3300 + shard,
        rows=3480 + shard,
        memory_bytes=22 << 20,
        index_kinds=["sq8"],
    )


def _place(page_token: str) -> int:
    if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) < 9):
        raise errors.InvalidArgument("page_token", "is none of this list")
    return int(page_token or 0)


def _check_etag(product: catalog_pb2.Product, etag: str) -> None:
    if etag and etag != product.etag:
        raise errors.Aborted("somebody else has changed it", reason="ETAG_MISMATCH")


def _values(product: catalog_pb2.Product, attribute: str) -> Iterator[common_pb2.AttributeValue]:
    if attribute in product.attributes:
        yield from product.attributes[attribute].values


def _passes(product: catalog_pb2.Product, condition: common_pb2.Filter) -> bool:
    return all(any(_holds(product, one) for one in clause.any_of) for clause in condition.all_of)


def _holds(product: catalog_pb2.Product, condition: common_pb2.Condition) -> bool:
    values = list(_values(product, condition.attribute))
    if condition.WhichOneof("test") == "range":
        span = condition.range
        low = span.min if span.HasField("min") else float("-inf")
        high = span.max if span.HasField("max") else float("inf")
        return any(low <= value.number <= high for value in values)
    wanted = getattr(condition, "in").values if condition.WhichOneof("test") == "in" else [condition.equals]
    return any(value in wanted for value in values)


def _facet(name: str, counted: list[catalog_pb2.Product]) -> common_pb2.Facet:
    values = [value for product in counted for value in _values(product, name)]
    texts = Counter(value.text for value in values if value.HasField("text"))
    numbers = Counter(value.number for value in values if value.HasField("number"))
    facet = common_pb2.Facet(attribute=name)
    for text, count in sorted(texts.items(), key=lambda item: (-item[1], item[0])):
        facet.values.add(value=common_pb2.AttributeValue(text=text), count=count)
    for number, count in sorted(numbers.items(), key=lambda item: (-item[1], item[0])):
        facet.values.add(value=common_pb2.AttributeValue(number=number), count=count)
    for low, high in pairwise(PRICE_ENDS):
        if count := sum(numbers[number] for number in numbers if low <= number < high):
            facet.ranges.add(min=low, max=high, count=count)
    return facet
