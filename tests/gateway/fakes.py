"""The services behind the gateway, small and predictable, over real gRPC."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from google.protobuf.descriptor import ServiceDescriptor
from PIL import Image

from services.gateway.candidates import visual_scores
from services.mesh import status, vectors
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable, VitrineError
from services.mesh.server import Host
from services.mesh.settings import ServiceSettings
from vitrine.v1 import (
    catalog_pb2,
    common_pb2,
    embedder_pb2,
    embedder_pb2_grpc,
    ranker_pb2,
    ranker_pb2_grpc,
    vectorsearch_pb2,
    vectorsearch_pb2_grpc,
)

DIMENSIONS = {"resnet50": 16, "clip": 8, "triplet": 4}


@functools.cache
def photo(seed: int, *, size: tuple[int, int] = (24, 24), form: str = "PNG") -> bytes:
    """A small picture that differs by seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def vector_of(content: bytes, space: str, digest: str = "d1") -> vectors.Floats:
    """A unit vector that is the same for the same content and the same model."""
    return _drawn(
        (content if digest == "d1" else digest.encode() + content) + space.encode(), DIMENSIONS[space]
    )


@functools.cache
def _drawn(seed: bytes, dimension: int) -> vectors.Floats:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed).digest()[:8], "little"))
    vector = rng.normal(size=dimension).astype(np.float32)
    unit: vectors.Floats = vector / np.linalg.norm(vector)
    unit.flags.writeable = False
    return unit


@functools.cache
def _of_a_host() -> ServiceSettings:
    """Made once: to look through the environment takes longer than to serve."""
    return ServiceSettings(port=0, metrics_port=0, drain_s=0, log_level="ERROR")


class Fault:
    """What a fake service does wrong: an error, a delay, or nothing."""

    def __init__(self) -> None:
        self.error: VitrineError | None = None
        self.delay_s = 0.0
        self.calls = 0

    async def strike(self) -> None:
        self.calls += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error


class FakeEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """Content that begins with `bad` or is `refused` is no picture; `digest` is that of all default models.

    `others` are digests of models that are served beside these; after `hang_after` calls none is answered.
    """

    def __init__(self) -> None:
        self.fault = Fault()
        self.digest = "d1"
        self.others: list[str] = []
        self.spaces = list(DIMENSIONS)
        self.images = 0
        self.asked: list[embedder_pb2.EmbedImagesRequest] = []
        self.hang_after: int | None = None
        self.refused: list[bytes] = []

    async def ListModels(self, request: Any, context: Any) -> embedder_pb2.ListModelsResponse:
        await self.fault.strike()
        models = [
            embedder_pb2.ModelInfo(
                spec=common_pb2.SpaceSpec(
                    space=space,
                    model_digest=self.digest if space in self.spaces else "",
                    dimension=dimension,
                    accepts_text=space == "clip",
                ),
                unavailable_reason="" if space in self.spaces else "no weights",
                default=True,
                card=f"# {space}\n",
            )
            for space, dimension in DIMENSIONS.items()
        ]
        return embedder_pb2.ListModelsResponse(models=models)

    async def EmbedImages(self, request: Any, context: Any) -> embedder_pb2.EmbedImagesResponse:
        await self.fault.strike()
        self.images += len(request.images)
        self.asked.append(request)
        if self.hang_after is not None:
            if not self.hang_after:
                await asyncio.Event().wait()
            self.hang_after -= 1
        return embedder_pb2.EmbedImagesResponse(
            embeddings=[
                self._embedding(image.content or image.uri.encode(), request.spaces)
                for image in request.images
            ]
        )

    async def EmbedTexts(self, request: Any, context: Any) -> embedder_pb2.EmbedTextsResponse:
        await self.fault.strike()
        return embedder_pb2.EmbedTextsResponse(
            embeddings=[self._embedding(text.encode(), request.spaces) for text in request.texts]
        )

    def _embedding(self, content: bytes, spaces: Any) -> embedder_pb2.Embedding:
        for name in spaces:
            if name.partition("@")[2] not in (self.digest, *self.others):
                raise FailedPrecondition(f"no model {name}", reason="MODEL_MISSING")
        if content.startswith(b"unlucky"):
            return embedder_pb2.Embedding(status=status.to_item(Unavailable("the worker died")))
        if content.startswith(b"bad") or content in self.refused:
            return embedder_pb2.Embedding(status=status.to_item(InvalidArgument("image", "is not a picture")))
        return embedder_pb2.Embedding(
            vectors=[
                vectors.encode(vector_of(content, space, digest), space=space, model_digest=digest)
                for space, _, digest in (name.partition("@") for name in spaces)
            ]
        )


class FakeRanker(ranker_pb2_grpc.RankerServiceServicer):
    """Ranks by the visual terms and a constant, so that its order is known."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.has_semantics = True
        self.degraded: list[str] = []
        self.requests: list[ranker_pb2.RankRequest] = []
        self.classified: list[ranker_pb2.ClassifyRequest] = []

    async def Rank(self, request: Any, context: Any) -> ranker_pb2.RankResponse:
        self.requests.append(request)
        await self.fault.strike()
        scores = np.round(visual_scores(request.candidates) + 0.1, 6).tolist()
        order = sorted(
            (-score, product, index)
            for index, (score, product) in enumerate(zip(scores, request.candidates.product_ids, strict=True))
        )
        if request.HasField("after"):
            order = [each for each in order if each[:2] > (-request.after.score, request.after.product_id)]
        page = order[: request.limit]
        terms = [common_pb2.ScoreTerm(name="visual", contribution=1)] if request.explain else ()
        return ranker_pb2.RankResponse(
            ranked=[ranker_pb2.RankedCandidate(index=i, score=-s, terms=terms) for s, _, i in page],
            more=len(order) > len(page),
            best_possible_score=1.1,
            query_labels=request.query.labels,
            dropped=[ranker_pb2.DroppedCandidate(product_id="p0", reason="test")] if request.explain else (),
            degraded=self.degraded,
        )

    async def Classify(self, request: Any, context: Any) -> ranker_pb2.ClassifyResponse:
        self.classified.append(request)
        await self.fault.strike()
        if not self.has_semantics:
            raise FailedPrecondition("no prompts", reason="SEMANTICS_MISSING")
        label = common_pb2.Label(name="gender", value="Women", probability=0.75)
        return ranker_pb2.ClassifyResponse(
            classifications=[ranker_pb2.Classification(labels=[label]) for _ in request.photos]
        )


class FakeShard(vectorsearch_pb2_grpc.VectorSearchServiceServicer):
    """Holds what `take` gave it and searches with plain numpy. Filters test equality of texts alone."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self.fault = Fault()
        self.shard = shard
        self.shards = shards
        self.caught_up = True
        self.catalogs: list[vectorsearch_pb2.ShardCatalog] = []
        self.revision = 0
        # By catalogue and generation, and then by product.
        self.held: defaultdict[tuple[str, str], dict[str, catalog_pb2.Change]] = defaultdict(dict)
        self.requests: list[vectorsearch_pb2.SearchVectorsRequest] = []

    @property
    def products(self) -> dict[str, catalog_pb2.Change]:
        """What it holds of the first generation of the catalogue `shop`."""
        return self.held["shop", "g1"]

    def take(self, changes: list[catalog_pb2.Change], revision: int) -> None:
        for change in changes:
            kind = change.WhichOneof("kind")
            if kind == "rows":
                self.held[change.catalog, change.rows.generation][change.product_id] = change
                continue
            for catalog, generation in list(self.held):
                products = self.held[catalog, generation]
                if catalog != change.catalog:
                    continue
                if kind == "tombstone":
                    products.pop(change.product_id, None)
                elif kind == "attributes" and change.product_id in products:
                    products[change.product_id].rows.attributes.CopyFrom(change.attributes)
                elif (
                    kind == "catalog_generations" and generation not in change.catalog_generations.generations
                ):
                    del self.held[catalog, generation]
        self.revision = revision

    async def SearchVectors(self, request: Any, context: Any) -> vectorsearch_pb2.SearchVectorsResponse:
        self.requests.append(request)
        await self.fault.strike()
        return self._found(request)

    def _found(self, request: Any) -> vectorsearch_pb2.SearchVectorsResponse:
        products = self.held[request.catalog, request.generation]
        self._check(request.min_revision)
        found = []
        for product_id, change in products.items():
            if not change.rows.photos or product_id in request.exclude_product_ids:
                continue
            if self._passes(change, request.filter):
                photo_id, cosines = _best_photo(change, request.queries)
                found.append((product_id, photo_id, cosines, change))
        if request.HasField("min_score"):
            found = [each for each in found if _score(each[2], request.queries) >= request.min_score]
        found.sort(key=lambda each: (-_score(each[2], request.queries), each[0]))
        if request.HasField("group_by"):
            found = _capped(found, request.group_by)
        found = found[: request.limit]
        names = {name for change in products.values() for name in change.rows.attributes.attributes}
        asked = [c.attribute for clause in request.filter.all_of for c in clause.any_of]
        if request.HasField("group_by"):
            asked.append(request.group_by.attribute)
        return vectorsearch_pb2.SearchVectorsResponse(
            candidates=common_pb2.Candidates(
                product_ids=[each[0] for each in found],
                photo_ids=[each[1] for each in found],
                spaces=[
                    common_pb2.SpaceScores(
                        space=query.vector.space,
                        weight=query.weight,
                        neutral=query.neutral,
                        cosines=np.array([each[2][index] for each in found], "<f4").tobytes(),
                    )
                    for index, query in enumerate(request.queries)
                ],
                labels=[_column(name, [each[3] for each in found]) for name in request.label_names],
                vectors=_vectors(found[: request.vectors_limit], request.vector_space)
                if request.vectors_limit
                else None,
            ),
            facets=[
                _facet(
                    attribute,
                    [each for each in products.values() if self._passes(each, _beside(request, attribute))],
                )
                for attribute in request.facet_attributes
            ],
            revision=self.revision,
            plan="flat",
            unknown_attributes=[
                name
                for name in [*asked, *request.facet_attributes, *request.label_names]
                if name not in names
            ],
        )

    async def GetVectors(self, request: Any, context: Any) -> vectorsearch_pb2.GetVectorsResponse:
        await self.fault.strike()
        self._check(request.min_revision)
        products = self.held[request.catalog, request.generation]
        return vectorsearch_pb2.GetVectorsResponse(
            products=[
                vectorsearch_pb2.ProductVectors(
                    product_id=product_id,
                    photos=products[product_id].rows.photos,
                    labels=[
                        common_pb2.Label(name=name, value=values.values[0].text, probability=1)
                        for name, values in products[product_id].rows.attributes.attributes.items()
                        if name in request.label_names
                    ],
                )
                for product_id in request.product_ids
                if product_id in products
            ],
            revision=self.revision,
        )

    async def GetShardStatus(self, request: Any, context: Any) -> vectorsearch_pb2.GetShardStatusResponse:
        return vectorsearch_pb2.GetShardStatusResponse(
            shard=self.shard,
            shards=self.shards,
            revision=self.revision,
            feed_revision=self.revision,
            caught_up=self.caught_up,
            catalogs=self.catalogs,
        )

    async def BatchSearchVectors(
        self, request: Any, context: Any
    ) -> vectorsearch_pb2.BatchSearchVectorsResponse:
        await self.fault.strike()
        return vectorsearch_pb2.BatchSearchVectorsResponse(
            outcomes=[vectorsearch_pb2.SearchOutcome(response=self._found(each)) for each in request.requests]
        )

    async def CountFacets(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def CompactShard(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def SnapshotShard(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def _check(self, min_revision: int) -> None:
        if min_revision > self.revision:
            raise Unavailable("not there yet", reason="REVISION_NOT_REACHED")

    @staticmethod
    def _passes(change: catalog_pb2.Change, wanted: common_pb2.Filter) -> bool:
        attributes = change.rows.attributes.attributes
        return all(
            any(
                condition.attribute in attributes
                and condition.equals in attributes[condition.attribute].values
                for condition in clause.any_of
            )
            for clause in wanted.all_of
        )


def _best_photo(change: catalog_pb2.Change, queries: Any) -> tuple[str, list[float]]:
    photos = []
    for each in change.rows.photos:
        by_space = {vector.space: vectors.decode(vector, field="v") for vector in each.vectors}
        cosines = [
            float(by_space[query.vector.space] @ vectors.decode(query.vector, field="q")) for query in queries
        ]
        photos.append((_score(cosines, queries), each.photo_id, cosines))
    _, photo_id, cosines = max(photos)
    return photo_id, cosines


def _score(cosines: list[float], queries: Any) -> float:
    return sum(float(query.weight) * cosine for query, cosine in zip(queries, cosines, strict=True))


_Found = tuple[str, str, list[float], catalog_pb2.Change]


def _capped(found: list[_Found], group_by: vectorsearch_pb2.GroupBy) -> list[_Found]:
    seen: dict[str, int] = {}
    kept = []
    for each in found:
        given = each[3].rows.attributes.attributes
        if group_by.attribute in given:
            value = given[group_by.attribute].values[0].text
            seen[value] = seen.get(value, 0) + 1
            if seen[value] > group_by.size:
                continue
        kept.append(each)
    return kept


def _vectors(found: list[_Found], space: str) -> common_pb2.CandidateVectors:
    dimension = DIMENSIONS[space]
    rows = np.full((len(found), dimension), np.nan, "<f2")
    for place, (_, photo_id, _, change) in enumerate(found):
        for photo in change.rows.photos:
            for vector in photo.vectors:
                if photo.photo_id == photo_id and vector.space == space:
                    rows[place] = vectors.decode(vector, field="v")
    return common_pb2.CandidateVectors(space=space, dimension=dimension, rows=rows.tobytes())


def _column(name: str, changes: list[catalog_pb2.Change]) -> common_pb2.LabelColumn:
    values: dict[str, int] = {}
    codes = []
    for change in changes:
        given = change.rows.attributes.attributes
        codes.append(values.setdefault(given[name].values[0].text, len(values)) if name in given else -1)
    return common_pb2.LabelColumn(
        name=name,
        values=list(values),
        codes=np.array(codes, "<i2").tobytes(),
        probabilities=np.array([code >= 0 for code in codes], "<f4").tobytes(),
    )


def _beside(request: vectorsearch_pb2.SearchVectorsRequest, attribute: str) -> common_pb2.Filter:
    """The filter that products pass among which a facet is counted."""
    clauses = [
        clause
        for clause in request.filter.all_of
        if not (request.disjunctive_facets and all(each.attribute == attribute for each in clause.any_of))
    ]
    return common_pb2.Filter(all_of=clauses)


def _facet(attribute: str, changes: list[catalog_pb2.Change]) -> common_pb2.Facet:
    counts: dict[str, int] = {}
    for change in changes:
        given = change.rows.attributes.attributes
        # Reading a map of messages by an absent key would make it.
        for value in given[attribute].values if attribute in given else ():
            counts[value.text] = counts.get(value.text, 0) + 1
    return common_pb2.Facet(
        attribute=attribute,
        values=[
            common_pb2.FacetValue(value=common_pb2.AttributeValue(text=text), count=count)
            for text, count in counts.items()
        ],
    )


@asynccontextmanager
async def hosted(
    name: str, descriptor: ServiceDescriptor, register: Callable[[Any], None]
) -> AsyncIterator[str]:
    """A service on a free port of loopback; its target."""
    host = Host(_of_a_host(), name)
    host.add(descriptor, register)
    port = await host.start()
    host.serving()
    waiting = asyncio.create_task(host.wait())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        host.stop()
        await waiting
