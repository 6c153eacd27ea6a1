"""The vectors of a query: one a space, mixed from its parts by weight."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.gateway import generations
from services.gateway.cache.interface import Cache
from services.gateway.embedding import Embedder, image_field
from services.gateway.query import Query, scaled
from services.gateway.shards import Shards
from services.gateway.similarity import QueryKind
from services.mesh import status, vectors
from services.mesh.errors import InvalidArgument
from services.mesh.stages import StageClock
from services.mesh.vectors import Floats
from vitrine.v1 import common_pb2, embedder_pb2, search_pb2, vectorsearch_pb2

LABEL_NAMES = ("gender", "category", "type", "colour")
# Of candidates also what was inferred where the shop states it: it tells how far models hold in this shop.
CANDIDATE_LABELS = (*LABEL_NAMES, "inferred.gender", "inferred.category")

# A vector is a pure function of the content and the model, so it does not go stale; pages of one search also
# need the very same one.
VECTOR_TTL_S = 600.0
# What lies at an address may change, but the next page is usually asked for within this time.
ADDRESS_TTL_S = 60.0
# A sum this short has no direction: the parts cancel each other out.
MIN_NORM = 1e-3

_NEUTRAL = {QueryKind.IMAGE: 0.4, QueryKind.TEXT: 0.0}

_BySpace = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """What a query looks like.

    `queries` holds a vector and its weight for each space; `photo` are those of the wanted pictures and
    products alone, from which labels can be inferred; `labels` is what is known of its products.
    """

    queries: list[vectorsearch_pb2.SpaceQuery]
    photo: list[common_pb2.Vector]
    labels: list[common_pb2.Label]

    @property
    def clip(self) -> common_pb2.Vector | None:
        """That of `photo` in the space that prompts are in."""
        return next((each for each in self.photo if each.space == generations.SEMANTIC_SPACE), None)


class QueryVectorSource:
    """Gets the vectors of queries from the embedder, the shards and the cache."""

    def __init__(self, *, embedder: Embedder, shards: Shards, cache: Cache, embed_timeout_s: float) -> None:
        self._embedder = embedder
        self._shards = shards
        self._cache = cache
        self._embed_timeout_s = embed_timeout_s

    async def get(self, query: Query, clock: StageClock) -> QueryVectors:
        """The vectors of a query; raises what the embedder or a shard refuses, naming the part."""
        parts: list[_BySpace] = [{} for _ in query.parts]
        specs = self._specs(query)
        by_source: dict[str, list[int]] = {"image": [], "product": [], "text": [], "vector": []}
        for index, part in enumerate(query.parts):
            by_source[part.WhichOneof("source") or ""].append(index)
        for index in by_source["vector"]:
            parts[index] = _given(query, index)
        labels: list[common_pb2.Label] = []
        text_specs = [spec for spec in specs if spec.accepts_text]
        work = []
        if by_source["product"]:
            work.append(self._add_products(query, by_source["product"], specs, parts, labels, clock))
        if by_source["image"] and specs:
            work.append(self._add_embedded(query, by_source["image"], specs, parts, clock))
        if by_source["text"] and text_specs:
            work.append(self._add_embedded(query, by_source["text"], text_specs, parts, clock))
        await _all(work)
        return QueryVectors(_mixed_queries(query, parts), _photo(query, parts), labels)

    @staticmethod
    def _specs(query: Query) -> list[common_pb2.SpaceSpec]:
        """The spaces compared, and the one that labels are inferred from where they count."""
        wanted = set(generations.visual_weights(query.profile))
        if len(query.profile.weights) > len(wanted):
            wanted.add(generations.SEMANTIC_SPACE)
        return [spec for spec in query.generation.spaces if spec.space in wanted]

    async def _add_products(
        self,
        query: Query,
        indexes: Sequence[int],
        specs: Sequence[common_pb2.SpaceSpec],
        parts: list[_BySpace],
        labels: list[common_pb2.Label],
        clock: StageClock,
    ) -> None:
        """Fill in the parts that are products, and what is known of them."""
        request = vectorsearch_pb2.GetVectorsRequest(
            catalog=query.catalog,
            generation=query.generation.id,
            product_ids=query.product_ids,
            label_names=LABEL_NAMES,
            min_revision=query.min_revision,
        )
        with clock.stage("vectors"):
            found = await self._shards.vectors(request)
        for index in indexes:
            product = found[query.parts[index].product]
            means = ((spec.space, _normalised_mean(product, spec)) for spec in specs)
            parts[index] = {space: mean for space, mean in means if mean is not None}
        labels += _common_labels(
            [found[query.parts[index].product] for index in indexes if query.parts[index].weight > 0]
        )

    async def _add_embedded(
        self,
        query: Query,
        indexes: Sequence[int],
        specs: Sequence[common_pb2.SpaceSpec],
        parts: list[_BySpace],
        clock: StageClock,
    ) -> None:
        """Fill in parts that have to be embedded, all pictures or all texts, in one call."""
        keys = {index: _key(query.parts[index], specs) for index in indexes}
        embeddings: dict[int, embedder_pb2.Embedding] = {}
        for index, key in keys.items():
            cached = await self._cache.get(key, max_age_s=VECTOR_TTL_S, kind="vector")
            if cached is not None:
                embeddings[index] = embedder_pb2.Embedding.FromString(cached)
        missing = [index for index in indexes if index not in embeddings]
        if missing:
            began_s = time.perf_counter()
            with clock.stage("embed"):
                made = await self._embed([query.parts[index] for index in missing], specs)
            cost_s = (time.perf_counter() - began_s) / len(missing)
            for index, embedding in zip(missing, made, strict=True):
                _check_item(embedding, query.parts[index], f"parts[{index}]")
                embeddings[index] = embedding
                ttl_s = ADDRESS_TTL_S if query.parts[index].image.uri else VECTOR_TTL_S
                value = embedding.SerializeToString()
                await self._cache.put(keys[index], value, ttl_s=ttl_s, cost_s=cost_s)
        for index, embedding in embeddings.items():
            parts[index] = {
                vector.space: vectors.decode(vector, field=f"parts[{index}]") for vector in embedding.vectors
            }

    async def _embed(
        self, parts: Sequence[search_pb2.QueryPart], specs: Sequence[common_pb2.SpaceSpec]
    ) -> list[embedder_pb2.Embedding]:
        if parts[0].WhichOneof("source") == "image":
            return await self._embedder.images(
                [part.image for part in parts],
                specs,
                priority=embedder_pb2.PRIORITY_INTERACTIVE,
                timeout_s=self._embed_timeout_s,
            )
        return await self._embedder.texts(
            [part.text for part in parts], specs, timeout_s=self._embed_timeout_s
        )


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Everything at once; the first failure cancels the rest."""
    if len(work) == 1:
        await work[0]
        return
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _check_item(embedding: embedder_pb2.Embedding, part: search_pb2.QueryPart, field: str) -> None:
    """Raise what is wrong with a part that could not be embedded, naming its field in the request."""
    if not embedding.status.code:
        return
    # `Embedder` raises what is not the picture's or the words' own fault.
    error = status.from_item(embedding.status)
    assert isinstance(error, InvalidArgument)
    is_image = part.WhichOneof("source") == "image"
    inner = f"image.{image_field(error, part.image)}" if is_image else "text"
    raise InvalidArgument(f"{field}.{inner}", error.message, reason=error.reason)


def _given(query: Query, index: int) -> _BySpace:
    message = query.parts[index].vector
    field = f"parts[{index}].vector"
    spec = generations.spec_of(query.generation, message.space)
    vector = vectors.decode(message, field=field, dimension=spec.dimension if spec else None)
    unit = _unit(vector)
    if unit is None:
        raise InvalidArgument(f"{field}.data", "has no length")
    return {message.space: unit}


def _normalised_mean(product: vectorsearch_pb2.ProductVectors, spec: common_pb2.SpaceSpec) -> Floats | None:
    """The mean of a product's photos in a space, of length one; None when it has none there."""
    found = [
        vectors.decode(vector, field="vectors", dimension=spec.dimension)
        for photo in product.photos
        for vector in photo.vectors
        if vector.space == spec.space
    ]
    if len(found) == 1:
        # Of length one as it was stored.
        return found[0]
    return _unit(np.mean(found, axis=0, dtype=np.float32)) if found else None


def _mixed(parts: Iterable[tuple[float, Floats | None]]) -> Floats | None:
    """The weighted sum of unit vectors as a unit vector; None without a direction, or wholly negative."""
    present = [(weight, vector) for weight, vector in parts if vector is not None]
    if all(weight < 0 for weight, _ in present):
        return None
    if len(present) == 1:
        return present[0][1]
    total = sum((np.float32(weight) * vector for weight, vector in present), np.float32(0.0))
    return _unit(np.asarray(total, np.float32))


def _unit(vector: Floats) -> Floats | None:
    norm = float(np.linalg.norm(vector))
    return None if norm < MIN_NORM else (vector / np.float32(norm)).astype(np.float32)


def _mixed_queries(query: Query, parts: Sequence[Mapping[str, Floats]]) -> list[vectorsearch_pb2.SpaceQuery]:
    mixed = {
        space: vector
        for space in query.visual
        if (
            vector := _mixed(
                (part.weight, found.get(space)) for part, found in zip(query.parts, parts, strict=True)
            )
        )
        is not None
    }
    if not mixed:
        raise InvalidArgument("parts", "the parts cancel each other out, or have no vector to compare")
    weights = scaled({space: query.visual[space] for space in mixed}, sum(query.visual.values()))
    return [
        vectorsearch_pb2.SpaceQuery(
            vector=vectors.encode(vector, space=space, model_digest=_digest(query, space)),
            weight=weights[space],
            neutral=_NEUTRAL[query.kind],
        )
        for space, vector in mixed.items()
    ]


def _photo(query: Query, parts: Sequence[Mapping[str, Floats]]) -> list[common_pb2.Vector]:
    """One vector in each space that the wanted pictures, products and vectors have one in."""
    wanted = [
        (part.weight, found)
        for part, found in zip(query.parts, parts, strict=True)
        if part.WhichOneof("source") != "text" and part.weight > 0
    ]
    mixed = {
        spec.space: _mixed((weight, found.get(spec.space)) for weight, found in wanted)
        for spec in query.generation.spaces
    }
    return [
        vectors.encode(vector, space=space, model_digest=_digest(query, space))
        for space, vector in mixed.items()
        if vector is not None
    ]


def _digest(query: Query, space: str) -> str:
    spec = generations.spec_of(query.generation, space)
    return spec.model_digest if spec else ""


def _common_labels(products: Sequence[vectorsearch_pb2.ProductVectors]) -> list[common_pb2.Label]:
    """What all products of the query have in common, as sure as the least sure of them."""
    if not products:
        return []
    labels = {label.name: label for label in products[0].labels}
    for product in products[1:]:
        other = {label.name: label for label in product.labels}
        labels = {
            name: min(label, other[name], key=lambda each: each.probability)
            for name, label in labels.items()
            if name in other and other[name].value == label.value
        }
    return list(labels.values())


def _key(part: search_pb2.QueryPart, specs: Sequence[common_pb2.SpaceSpec]) -> bytes:
    """Names the vectors of a part: its content, whatever its weight, and the models."""
    content = search_pb2.QueryPart()
    content.CopyFrom(part)
    content.ClearField("weight")
    digest = hashlib.blake2b(
        content.SerializeToString(deterministic=True), digest_size=16, person=b"vectors-1"
    )
    digest.update(",".join(f"{spec.space}:{spec.model_digest}" for spec in specs).encode())
    return digest.digest()
