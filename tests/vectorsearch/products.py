"""Products and a plain reference of what a shard should answer, for the tests of vectorsearch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.mesh import buckets, vectors
from services.vectorsearch.changes import Embedding, Photo, Written
from services.vectorsearch.columns import Facts, Value
from services.vectorsearch.filters import AnyOf, Between, Condition, Exists, Filter
from services.vectorsearch.search import SpaceQuery
from vitrine.v1 import catalog_pb2, common_pb2, vectorsearch_pb2

DIMENSIONS = {"resnet50": 12, "clip": 6, "triplet": 4}

Floats = npt.NDArray[np.float32]


def unit(seed: int, space: str) -> Floats:
    vector = np.random.default_rng([seed, DIMENSIONS[space]]).normal(size=DIMENSIONS[space])
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photo(name: str, seeds: Mapping[str, int]) -> Photo:
    return Photo(
        name, {space: Embedding(f"model-{space}", unit(seed, space)) for space, seed in seeds.items()}
    )


def written(
    product_id: str,
    revision: int,
    *photos: Photo,
    attributes: Mapping[str, Sequence[Value]] | None = None,
    labels: Mapping[str, tuple[str, float]] | None = None,
) -> Written:
    return Written("shop", product_id, revision, "g1", photos, Facts(attributes or {}, labels or {}))


def simple(number: int, revision: int, **attributes: Sequence[Value]) -> Written:
    """A product `p<number>` with one photo that has all spaces."""
    return written(
        f"p{number}", revision, photo("front", dict.fromkeys(DIMENSIONS, number)), attributes=attributes
    )


def query(space: str, seed: int, *, weight: float = 1.0, neutral: float = 0.4) -> SpaceQuery:
    return SpaceQuery(space, unit(seed, space), weight, neutral)


def vector_message(space: str, vector: Floats) -> common_pb2.Vector:
    return vectors.encode(vector, space=space, model_digest=f"model-{space}")


def value_message(value: Value) -> common_pb2.AttributeValue:
    if isinstance(value, bool):
        return common_pb2.AttributeValue(flag=value)
    if isinstance(value, str):
        return common_pb2.AttributeValue(text=value)
    return common_pb2.AttributeValue(number=value)


def facts_message(facts: Facts) -> catalog_pb2.RowAttributes:
    return catalog_pb2.RowAttributes(
        attributes={
            name: common_pb2.AttributeValues(values=[value_message(value) for value in values])
            for name, values in facts.attributes.items()
        },
        labels=[
            common_pb2.Label(name=name, value=value, probability=probability)
            for name, (value, probability) in facts.labels.items()
        ],
    )


def change_message(change: Written) -> catalog_pb2.Change:
    return catalog_pb2.Change(
        revision=change.revision,
        catalog=change.catalog,
        product_id=change.product_id,
        bucket=buckets.bucket_of(change.catalog, change.product_id),
        rows=catalog_pb2.ProductRows(
            generation=change.generation,
            photos=[
                vectorsearch_pb2.PhotoVectors(
                    photo_id=each.photo_id,
                    vectors=[vector_message(space, e.vector) for space, e in each.embeddings.items()],
                )
                for each in change.photos
            ],
            attributes=facts_message(change.facts),
        ),
    )


def deletion_message(product_id: str, revision: int) -> catalog_pb2.Change:
    return catalog_pb2.Change(
        revision=revision, catalog="shop", product_id=product_id, tombstone=catalog_pb2.Tombstone()
    )


def generations_message(catalog: str, revision: int, *generations: str) -> catalog_pb2.Change:
    """What tells that a catalogue has these generations and no others."""
    kept = catalog_pb2.CatalogGenerations(generations=generations)
    return catalog_pb2.Change(revision=revision, catalog=catalog, catalog_generations=kept)


@dataclass
class Reference:
    """What a shard should do, product by product, without an index."""

    products: dict[str, Written] = field(default_factory=dict)

    def passes(self, product: Written, narrowed: Filter) -> bool:
        return all(any(_holds(product.facts, each) for each in clause) for clause in narrowed.all_of)

    def best(
        self, queries: Sequence[SpaceQuery], narrowed: Filter, excluded: Sequence[str], limit: int
    ) -> list[tuple[str, str, int, list[float]]]:
        """Product, its best photo, its score in millionths, and that photo's cosines."""
        ranked = []
        for product in self.products.values():
            if product.product_id in excluded or not product.photos or not self.passes(product, narrowed):
                continue
            scored = [_score(each, queries) for each in product.photos]
            top = max(range(len(scored)), key=lambda number: (scored[number][0], -number))
            ranked.append((product.product_id, product.photos[top].photo_id, *scored[top]))
        return sorted(ranked, key=lambda entry: (-entry[2], entry[0]))[:limit]


def _score(each: Photo, queries: Sequence[SpaceQuery]) -> tuple[int, list[float]]:
    cosines = [
        float(each.embeddings[q.space].vector.astype(np.float64) @ q.vector.astype(np.float64))
        if q.space in each.embeddings
        else math.nan
        for q in queries
    ]
    total = sum(q.weight * (q.neutral if math.isnan(c) else c) for q, c in zip(queries, cosines, strict=True))
    return round(total * 1e6), cosines


def _holds(facts: Facts, condition: Condition) -> bool:
    name = condition.attribute
    values: list[Value] = list(facts.attributes.get(name, ()))
    if name.startswith("inferred."):
        label = facts.labels.get(name.removeprefix("inferred."))
        values = [label[0]] if label else []
    test = condition.test
    if isinstance(test, AnyOf):
        outcome = any(type(v) is type(w) and v == w for v in values for w in test.values)
    elif isinstance(test, Between):
        outcome = any(type(v) is float and test.minimum <= v <= test.maximum for v in values)
    else:
        assert isinstance(test, Exists)
        outcome = bool(values) == test.exists
    return outcome != condition.negated
