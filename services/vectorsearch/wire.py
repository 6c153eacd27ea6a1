"""Messages <-> what the core understands, with every limit that the contract states."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from services.mesh import names, vectors
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.vectorsearch.changes import Change, Deleted, Described, Embedding, Photo, Retained, Written
from services.vectorsearch.columns import Column, Columns, Facts, Labels, Mask, Value
from services.vectorsearch.filters import AnyOf, Between, Condition, Exists, Filter
from services.vectorsearch.indexes.building import Key
from services.vectorsearch.indexes.indexing import IndexState
from services.vectorsearch.kernels import Floats
from services.vectorsearch.requests import Search
from services.vectorsearch.rows import CatalogRows, Space
from services.vectorsearch.search import Found, SpaceQuery
from services.vectorsearch.shard import GenerationSize
from vitrine.v1 import catalog_pb2, common_pb2, vectorsearch_pb2

MAX_QUERIES = 8
MAX_BATCH = 64
MAX_GROUP_SIZE = 100
MAX_LIMIT = 1000
MAX_EXCLUDED = 100
MAX_LABELS = 16
MAX_FACETS = 16
MAX_VECTORS = 200
MAX_FACET_VALUES = 100
MAX_PRODUCTS = 100
MAX_CLAUSES = 16
MAX_CONDITIONS = 64
MAX_VALUES = 1000
MAX_TEXT = 256
MAX_NUMBER = 100.0
MAX_WEIGHT = 100.0
MAX_SCORE = 1e6
MAX_NAME = 128


def search_of(request: vectorsearch_pb2.SearchVectorsRequest) -> Search:
    """The search that is asked for; raises InvalidArgument for a limit that is not kept."""
    names.check_catalog_id(request.catalog, "catalog")
    _check_generation(request.generation)
    if not 1 <= request.limit <= MAX_LIMIT:
        raise InvalidArgument("limit", f"{request.limit} is not from 1 to {MAX_LIMIT}")
    _check_count("exclude_product_ids", request.exclude_product_ids, 0, MAX_EXCLUDED)
    _check_count("label_names", request.label_names, 0, MAX_LABELS)
    _check_count("facet_attributes", request.facet_attributes, 0, MAX_FACETS)
    _check_revision(request.min_revision)
    if not -MAX_SCORE <= request.min_score <= MAX_SCORE:
        raise InvalidArgument("min_score", f"{request.min_score} is not from -{MAX_SCORE:g} to {MAX_SCORE:g}")
    if request.HasField("group_by"):
        if not request.group_by.attribute:
            raise InvalidArgument("group_by.attribute", "is missing")
        if not 1 <= request.group_by.size <= MAX_GROUP_SIZE:
            raise InvalidArgument(
                "group_by.size", f"{request.group_by.size} is not from 1 to {MAX_GROUP_SIZE}"
            )
    _check_name("vector_space", request.vector_space)
    if not 0 <= request.vectors_limit <= MAX_VECTORS:
        raise InvalidArgument("vectors_limit", f"{request.vectors_limit} is not from 0 to {MAX_VECTORS}")
    if request.vectors_limit and not request.vector_space:
        raise InvalidArgument("vector_space", "is missing")
    return Search(request, _queries_of(request), filter_of(request.filter))


def check_batch(request: vectorsearch_pb2.BatchSearchVectorsRequest) -> None:
    """Raise InvalidArgument for too few searches or too many."""
    _check_count("requests", request.requests, 1, MAX_BATCH)


def check_facets(request: vectorsearch_pb2.CountFacetsRequest) -> None:
    """Raise InvalidArgument for a limit that is not kept."""
    names.check_catalog_id(request.catalog, "catalog")
    _check_generation(request.generation)
    _check_count("attributes", request.attributes, 1, MAX_FACETS)
    _check_revision(request.min_revision)


def check_get(request: vectorsearch_pb2.GetVectorsRequest) -> None:
    """Raise InvalidArgument for a limit that is not kept."""
    names.check_catalog_id(request.catalog, "catalog")
    _check_generation(request.generation)
    _check_count("product_ids", request.product_ids, 1, MAX_PRODUCTS)
    _check_count("label_names", request.label_names, 0, MAX_LABELS)
    _check_revision(request.min_revision)


def comparable(queries: Sequence[tuple[SpaceQuery, str]], spaces: Mapping[str, Space]) -> list[SpaceQuery]:
    """The queries, when they can be compared with rows in `spaces`.

    Raises FailedPrecondition (MODEL_MISMATCH) for a vector of another model and InvalidArgument for another
    dimension.
    """
    for number, (query, model_digest) in enumerate(queries):
        space = spaces.get(query.space)
        if space is None:
            continue
        if space.model_digest != model_digest:
            raise FailedPrecondition(
                f"{query.space} rows are of model {space.model_digest[:12]}, it is of {model_digest[:12]}",
                reason="MODEL_MISMATCH",
            )
        if space.dimension != len(query.vector):
            raise InvalidArgument(
                f"queries[{number}].vector.data",
                f"{len(query.vector)} dimensions where {space.dimension} are expected",
            )
    return [query for query, _ in queries]


def filter_of(message: common_pb2.Filter) -> Filter:
    """The filter; raises InvalidArgument naming the field under `filter`."""
    _check_count("filter.all_of", message.all_of, 0, MAX_CLAUSES)
    return Filter(
        tuple(
            tuple(
                _condition(condition, f"filter.all_of[{i}].any_of[{j}]")
                for j, condition in enumerate(_counted(f"filter.all_of[{i}].any_of", clause.any_of))
            )
            for i, clause in enumerate(message.all_of)
        )
    )


def change_of(message: catalog_pb2.Change) -> Change:
    """A change of the feed; raises InvalidArgument for one that cannot be understood."""
    origin = (message.catalog, message.product_id, message.revision)
    match message.WhichOneof("kind"):
        case "rows":
            photos = tuple(
                _photo(photo, f"rows.photos[{number}]") for number, photo in enumerate(message.rows.photos)
            )
            return Written(
                *origin, message.rows.generation, photos, _facts(message.rows.attributes, "rows.attributes")
            )
        case "attributes":
            return Described(*origin, _facts(message.attributes, "attributes"))
        case "tombstone":
            return Deleted(*origin)
        case "catalog_generations":
            kept = frozenset(message.catalog_generations.generations)
            return Retained(message.catalog, message.revision, kept)
        case _:
            raise InvalidArgument("kind", "is missing")


def candidates(
    found: Found,
    queries: Sequence[SpaceQuery],
    labels: Sequence[Labels],
    vectors_of_first: common_pb2.CandidateVectors | None,
) -> common_pb2.Candidates:
    """The columns of the products found."""
    return common_pb2.Candidates(
        product_ids=found.product_ids,
        photo_ids=found.photo_ids,
        spaces=[
            common_pb2.SpaceScores(
                space=query.space,
                weight=query.weight,
                neutral=query.neutral,
                cosines=cosines.astype("<f4", copy=False).tobytes(),
            )
            for query, cosines in zip(queries, found.cosines, strict=True)
        ],
        labels=[
            common_pb2.LabelColumn(
                name=column.name,
                values=column.values,
                codes=column.codes.astype("<i2", copy=False).tobytes(),
                probabilities=column.probabilities.astype("<f4", copy=False).tobytes(),
            )
            for column in labels
        ],
        vectors=vectors_of_first,
    )


def candidate_vectors(
    rows: CatalogRows, space: str, photos: Sequence[tuple[str, str]]
) -> common_pb2.CandidateVectors | None:
    """The vectors of photos, given as product and photo id; None in a space that no row has a vector in.

    A photo that has none there, or has gone meanwhile, has NaN.
    """
    if space not in rows.spaces:
        return None
    found = np.full((len(photos), rows.spaces[space].dimension), np.nan, dtype="<f2")
    for place, (product_id, photo_id) in enumerate(photos):
        product = rows.products.get(product_id)
        for segment, row in product.rows if product else ():
            if segment.photo_ids[row] == photo_id and space in (its := segment.vectors(row)):
                found[place] = its[space]
    return common_pb2.CandidateVectors(space=space, dimension=found.shape[1], rows=found.tobytes())


def facets(columns: Columns, counted: Iterable[tuple[str, Mask]]) -> list[common_pb2.Facet]:
    """How often each value of each attribute occurs among the products of its mask, bool [slots]."""
    return [_facet(name, columns.get(name), passing) for name, passing in counted]


def shard_catalogs(
    sizes: Sequence[GenerationSize], states: Mapping[Key, IndexState]
) -> list[vectorsearch_pb2.ShardCatalog]:
    """What a shard holds, by catalogue, and how it is searched; `sizes` are in order of the catalogue."""
    catalogs: dict[str, vectorsearch_pb2.ShardCatalog] = {}
    for size in sizes:
        catalog = catalogs.setdefault(size.catalog, vectorsearch_pb2.ShardCatalog(catalog=size.catalog))
        # A product is in several generations while one takes the place of another.
        catalog.products = max(catalog.products, size.products)
        catalog.rows += size.rows
        catalog.vector_bytes += size.memory_bytes
        catalog.generations.append(_generation(size, states))
    return list(catalogs.values())


def product_vectors(
    rows: CatalogRows, product_id: str, label_names: Sequence[str]
) -> vectorsearch_pb2.ProductVectors:
    """The vectors and labels of a product that is held."""
    product = rows.products[product_id]
    photos = [
        vectorsearch_pb2.PhotoVectors(
            photo_id=segment.photo_ids[row],
            vectors=[
                vectors.encode(vector, space=space, model_digest=rows.spaces[space].model_digest)
                for space, vector in segment.vectors(row).items()
            ],
        )
        for segment, row in product.rows
    ]
    columns = [rows.columns.labels(name, np.array([product.slot], dtype=np.int64)) for name in label_names]
    return vectorsearch_pb2.ProductVectors(
        product_id=product_id,
        photos=photos,
        labels=[
            common_pb2.Label(
                name=column.name,
                value=column.values[int(column.codes[0])],
                probability=float(column.probabilities[0]),
            )
            for column in columns
            if column.codes[0] >= 0
        ],
    )


def _queries_of(request: vectorsearch_pb2.SearchVectorsRequest) -> list[tuple[SpaceQuery, str]]:
    """The query in each space, and the digest of the model that made it."""
    _check_count("queries", request.queries, 1, MAX_QUERIES)
    queries: list[tuple[SpaceQuery, str]] = []
    for number, message in enumerate(request.queries):
        field = f"queries[{number}]"
        space = message.vector.space
        if not space:
            raise InvalidArgument(f"{field}.vector.space", "is missing")
        _check_name(f"{field}.vector.space", space)
        if any(query.space == space for query, _ in queries):
            raise InvalidArgument(f"{field}.vector.space", f"{space} occurs twice")
        if not 0 <= message.weight <= MAX_WEIGHT:
            raise InvalidArgument(f"{field}.weight", f"{message.weight} is not from 0 to {MAX_WEIGHT:g}")
        if not -1 <= message.neutral <= 1:
            raise InvalidArgument(f"{field}.neutral", f"{message.neutral} is not a cosine")
        vector = np.ascontiguousarray(_decoded(message.vector, f"{field}.vector"), dtype=np.float32)
        queries.append(
            (SpaceQuery(space, vector, message.weight, message.neutral), message.vector.model_digest)
        )
    return queries


def _facet(attribute: str, column: Column | None, passing: Mask) -> common_pb2.Facet:
    if column is None:
        return common_pb2.Facet(attribute=attribute)
    return common_pb2.Facet(
        attribute=attribute,
        values=[
            common_pb2.FacetValue(value=_attribute_value(value), count=count)
            for value, count in column.counts(passing, MAX_FACET_VALUES)
        ],
        ranges=[
            common_pb2.FacetRange(min=minimum, max=maximum, count=count)
            for minimum, maximum, count in column.ranges(passing)
        ],
    )


def _generation(size: GenerationSize, states: Mapping[Key, IndexState]) -> vectorsearch_pb2.ShardGeneration:
    indexes = [
        _space_index(name, space, states[Key(size.catalog, size.generation, name)])
        for name, space in sorted(size.spaces.items())
    ]
    return vectorsearch_pb2.ShardGeneration(
        generation=size.generation,
        products=size.products,
        rows=size.rows,
        dead_rows=size.dead_rows,
        segments=size.segments,
        live_bytes=size.live_bytes,
        memory_bytes=size.memory_bytes + sum(index.index_bytes for index in indexes),
        indexes=indexes,
    )


def _space_index(name: str, space: Space, state: IndexState) -> vectorsearch_pb2.SpaceIndex:
    index = state.index
    return vectorsearch_pb2.SpaceIndex(
        space=name,
        kind=state.kind,
        dimension=space.dimension,
        model_digest=space.model_digest,
        indexed_rows=index.rows if index else 0,
        recall_at_10=index.recall_at_10 if index else 1.0,
        recall_at_100=index.recall_at_100 if index else 1.0,
        index_bytes=index.nbytes if index else 0,
        building=state.building,
    )


def _decoded(message: common_pb2.Vector, field: str) -> Floats:
    """A vector that is not far from normalised: bounds of errors, and half precision, end somewhere."""
    vector = vectors.decode(message, field=field)
    if np.abs(vector).max() > MAX_NUMBER:
        raise InvalidArgument(f"{field}.data", f"has numbers beyond {MAX_NUMBER:g}: it is not normalised")
    return vector


def _condition(message: common_pb2.Condition, field: str) -> Condition:
    if not message.attribute:
        raise InvalidArgument(f"{field}.attribute", "is missing")
    test: AnyOf | Between | Exists
    match message.WhichOneof("test"):
        case "equals":
            test = AnyOf((_value(message.equals, f"{field}.equals"),))
        case "in":
            values = getattr(message, "in").values
            _check_count(f"{field}.in.values", values, 1, MAX_VALUES)
            test = AnyOf(tuple(_value(value, f"{field}.in.values[{n}]") for n, value in enumerate(values)))
        case "range":
            test = _range(message.range, f"{field}.range")
        case "exists":
            test = Exists(message.exists)
        case _:
            raise InvalidArgument(f"{field}.test", "one of equals, in, range and exists must be set")
    return Condition(message.attribute, test, message.negated)


def _range(message: common_pb2.NumberRange, field: str) -> Between:
    minimum = message.min if message.HasField("min") else -math.inf
    maximum = message.max if message.HasField("max") else math.inf
    for name, end in (("min", minimum), ("max", maximum)):
        if math.isnan(end):
            raise InvalidArgument(f"{field}.{name}", "is not a number")
    if minimum > maximum:
        raise InvalidArgument(f"{field}.min", f"{minimum:g} is above max, {maximum:g}")
    return Between(minimum, maximum)


def _value(message: common_pb2.AttributeValue, field: str) -> Value:
    match message.WhichOneof("kind"):
        case "text":
            if len(message.text) > MAX_TEXT:
                raise InvalidArgument(f"{field}.text", f"has more than {MAX_TEXT} characters")
            return message.text
        case "number":
            if not math.isfinite(message.number):
                raise InvalidArgument(f"{field}.number", "is not a finite number")
            return message.number
        case "flag":
            return message.flag
        case _:
            raise InvalidArgument(field, "one of text, number and flag must be set")


def _attribute_value(value: Value) -> common_pb2.AttributeValue:
    if isinstance(value, bool):
        return common_pb2.AttributeValue(flag=value)
    if isinstance(value, str):
        return common_pb2.AttributeValue(text=value)
    return common_pb2.AttributeValue(number=value)


def _photo(message: vectorsearch_pb2.PhotoVectors, field: str) -> Photo:
    embeddings = {}
    for number, vector in enumerate(message.vectors):
        decoded = _decoded(vector, f"{field}.vectors[{number}]")
        embeddings[vector.space] = Embedding(vector.model_digest, decoded)
    return Photo(message.photo_id, embeddings)


def _facts(message: catalog_pb2.RowAttributes, field: str) -> Facts:
    return Facts(
        {
            name: tuple(_value(value, f"{field}.attributes[{name}]") for value in values.values)
            for name, values in message.attributes.items()
        },
        {label.name: (label.value, label.probability) for label in message.labels},
    )


def _counted(field: str, conditions: Sequence[common_pb2.Condition]) -> Sequence[common_pb2.Condition]:
    _check_count(field, conditions, 1, MAX_CONDITIONS)
    return conditions


def _check_count(field: str, items: Sequence[object], least: int, most: int) -> None:
    if not least <= len(items) <= most:
        raise InvalidArgument(field, f"has {len(items)} where {least} to {most} are allowed")


def _check_generation(generation: str) -> None:
    if not generation:
        raise InvalidArgument("generation", "is missing")
    _check_name("generation", generation)


def _check_name(field: str, name: str) -> None:
    if len(name) > MAX_NAME:
        raise InvalidArgument(field, f"has more than {MAX_NAME} characters")


def _check_revision(revision: int) -> None:
    if revision < 0:
        raise InvalidArgument("min_revision", f"{revision} is not a revision")
