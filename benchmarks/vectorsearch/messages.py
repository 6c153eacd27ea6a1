"""The messages that the benchmark sends: changes of the feed, and searches as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.vectorsearch.collection import SELECTIVITIES, Collection, Floats, Mask
from services.mesh import buckets, vectors
from vitrine.v1 import catalog_pb2, common_pb2, vectorsearch_pb2

CATALOG = "bench"
GENERATION = "g1"
LIMIT = 10

Weights = Mapping[str, float]


def product_id(row: int) -> str:
    """The product of a row; ids are in the order of the rows."""
    return f"p{row:07d}"


def row_of(product: str) -> int:
    """The row of a product."""
    return int(product.removeprefix("p"))


def attribute(selectivity: float) -> str:
    """The attribute whose value is `in` for the share of the products that a filter lets pass."""
    return f"in_{round(selectivity * 1e4)}_of_10000"


class Changes:
    """Writes of a collection's products, each with one photo."""

    def __init__(self, collection: Collection) -> None:
        self._matrices = {space: collection.matrix(space) for space in collection.spaces}
        self._passing = {attribute(share): collection.passing(share) for share in SELECTIVITIES}

    def write(self, row: int, revision: int, *, vectors_of: int | None = None) -> catalog_pb2.Change:
        """Product `row` with its own vectors, or with those of another row."""
        product, source = product_id(row), row if vectors_of is None else vectors_of
        return catalog_pb2.Change(
            revision=revision,
            catalog=CATALOG,
            product_id=product,
            bucket=buckets.bucket_of(CATALOG, product),
            rows=catalog_pb2.ProductRows(
                generation=GENERATION,
                photos=[
                    vectorsearch_pb2.PhotoVectors(
                        photo_id="front",
                        vectors=[_vector(space, matrix[source]) for space, matrix in self._matrices.items()],
                    )
                ],
                attributes=catalog_pb2.RowAttributes(
                    attributes={name: _keyword(mask, row) for name, mask in self._passing.items()}
                ),
            ),
        )


def searches(
    collection: Collection,
    weights: Weights,
    *,
    selectivity: float | None = None,
    limit: int = LIMIT,
    exact: bool = False,
) -> list[bytes]:
    """A serialised SearchVectorsRequest for each query of the collection, over the spaces of `weights`."""
    asked = {space: collection.asked(space) for space in weights}
    narrowed = None
    if selectivity is not None:
        equals = common_pb2.AttributeValue(text="in")
        condition = common_pb2.Condition(attribute=attribute(selectivity), equals=equals)
        narrowed = common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[condition])])
    return [
        vectorsearch_pb2.SearchVectorsRequest(
            catalog=CATALOG,
            generation=GENERATION,
            queries=[
                vectorsearch_pb2.SpaceQuery(vector=_vector(space, asked[space][number]), weight=weight)
                for space, weight in weights.items()
            ],
            filter=narrowed,
            limit=limit,
            exact=exact,
        ).SerializeToString()
        for number in range(collection.queries)
    ]


def found(answer: bytes) -> list[int]:
    """The rows that a serialised SearchVectorsResponse names, best first."""
    response = vectorsearch_pb2.SearchVectorsResponse.FromString(answer)
    return [row_of(product) for product in response.candidates.product_ids]


def plan_and_stages(answers: Sequence[bytes]) -> tuple[str, float]:
    """The plan that most answers name, and the median of what their stages took together, in milliseconds."""
    responses = [vectorsearch_pb2.SearchVectorsResponse.FromString(answer) for answer in answers]
    plans = [response.plan for response in responses]
    took = [sum(stage.duration_ms for stage in response.stages) for response in responses]
    return max(set(plans), key=plans.count), float(np.median(took))


def _vector(space: str, vector: Floats) -> common_pb2.Vector:
    return vectors.encode(vector, space=space, model_digest=f"model-{space}")


def _keyword(mask: Mask | npt.NDArray[np.bool_], row: int) -> common_pb2.AttributeValues:
    text = "in" if mask[row] else "out"
    return common_pb2.AttributeValues(values=[common_pb2.AttributeValue(text=text)])
