"""The JSON bodies: the messages of the protos in proto3 JSON, with the protos' snake_case field names.

As proto3 JSON has it, bytes are base64, 64-bit integers are strings (numbers are read too), durations are
written like `2.5s` and enums are the names of their values. A model of a request dumps to what its proto's
constructor takes.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return binascii.a2b_base64(value, strict_mode=True)
        except ValueError as error:
            raise ValueError("is not base64") from error
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", value):
        return timedelta(seconds=float(value[:-1]))
    if isinstance(value, timedelta):
        return value
    raise ValueError("must be seconds followed by an s, such as 2.5s")


Base64 = Annotated[
    bytes, BeforeValidator(_decode), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]
Seconds = Annotated[
    timedelta, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["2.5s"]})
]
Int64 = Annotated[int, WithJsonSchema({"type": "string", "format": "int64", "examples": ["42"]})]


class Model(BaseModel):
    """Base: what is not known is refused, so that a misspelt field is noticed."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    def to_fields(self) -> dict[str, Any]:
        """What the constructor of the proto of the same name takes."""
        return self.model_dump(exclude_none=True, by_alias=True)


class OneOf(Model):
    """Base of messages of which exactly one field may be set."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        choices = [name for name in type(self).model_fields if name not in self._beside()]
        if sum(getattr(self, name) is not None for name in choices) != 1:
            raise ValueError(
                "exactly one of " + ", ".join(name.rstrip("_") for name in choices) + " must be set"
            )
        return self

    @classmethod
    def _beside(cls) -> frozenset[str]:
        """Fields that are not part of the choice."""
        return frozenset()


class AttributeValue(OneOf):
    """One value of an attribute; exactly one field is set."""

    text: str | None = Field(None, description="A keyword such as a colour.", examples=["Red"])
    number: float | None = Field(None, description="A number such as a price.")
    flag: bool | None = Field(None, description="A yes or no.")


class AttributeValues(Model):
    """The values of one attribute, which may be several."""

    values: list[AttributeValue] = Field(default_factory=list, description="At most 32.")


class NumberRange(Model):
    """A range of numbers, both ends included; an absent end is open."""

    min: float | None = Field(None, description="Lower end.")
    max: float | None = Field(None, description="Upper end.")


class Condition(OneOf):
    """A test of one attribute; exactly one of `equals`, `in`, `range` and `exists` is set."""

    attribute: str = Field(
        description="The attribute, or `inferred.<label>` for what a model saw.", examples=["colour"]
    )
    equals: AttributeValue | None = Field(None, description="Equal to this value.")
    in_: AttributeValues | None = Field(None, alias="in", description="Equal to one of these, at most 1,000.")
    range: NumberRange | None = Field(None, description="A number in this range.")
    exists: bool | None = Field(None, description="Has any value at all, or none.")
    negated: bool | None = Field(None, description="Turns the test round.")

    @classmethod
    def _beside(cls) -> frozenset[str]:
        return frozenset({"attribute", "negated"})


class Clause(Model):
    """At least one of these conditions must hold."""

    any_of: list[Condition] = Field(default_factory=list, description="At most 64.")


class Filter(Model):
    """All of these clauses must hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"all_of": [{"any_of": [{"attribute": "gender", "equals": {"text": "Women"}}]}]}]
        }
    )

    all_of: list[Clause] = Field(default_factory=list, description="At most 16.")


class BoundingBox(Model):
    """A rectangle as fractions of a picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float


class Image(Model):
    """A picture: its content, or in a query the address that it is fetched from."""

    content: Base64 | None = Field(
        None, description="The encoded file: JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
    )
    uri: str | None = Field(None, description="An http or https address, instead of the content.")
    box: BoundingBox | None = Field(None, description="The part to look at.")


class Vector(Model):
    """One L2-normalised embedding."""

    space: str = Field(description="The space it lives in.", examples=["clip"])
    model_digest: str | None = Field(None, description="Hex SHA-256 of the weights that made it.")
    encoding: (
        Literal["VECTOR_ENCODING_UNSPECIFIED", "VECTOR_ENCODING_FLOAT32", "VECTOR_ENCODING_FLOAT16"] | None
    ) = Field(None, description="Encoding of `data`; float32 when absent.")
    data: Base64 = Field(description="The numbers, little-endian.")


class QueryPart(OneOf):
    """One part of a query; exactly one of `image`, `product`, `text` and `vector` is set."""

    image: Image | None = Field(None, description="A photo.")
    product: str | None = Field(None, description="A product of the catalogue: its name, or its id alone.")
    text: str | None = Field(None, description="Words, at most 1,000 characters.", examples=["red shoes"])
    vector: Vector | None = Field(None, description="A vector.")
    weight: float | None = Field(None, description="Its share, 1 when absent. Negative: less like this.")

    @classmethod
    def _beside(cls) -> frozenset[str]:
        return frozenset({"weight"})


class GroupBy(Model):
    """A cap on hits that share a value of an attribute."""

    attribute: str = Field(
        description="The attribute, or `inferred.<label>` for what a model saw.", examples=["colour"]
    )
    size: int = Field(description="Hits of each value over all pages, 1 to 10.", examples=[2])


class SearchOptions(Model):
    """How to search, whatever the query is."""

    profile: str | None = Field(
        None, description="Ranking profile, or the name of one space.", examples=["similar"]
    )
    filter: Filter | None = Field(None, description="Which products may answer.")
    k: int | None = Field(None, description="Hits a page, 1 to 100; 10 when absent.", examples=[10])
    page_token: str | None = Field(None, description="From the page before; the rest must be the same.")
    explain: bool | None = Field(
        None, description="Return score terms, drops and what was understood of the query."
    )
    facets: list[str] | None = Field(
        None, description="Attributes to count, at most 16.", examples=[["colour"]]
    )
    min_revision: Int64 | None = Field(None, description="See every write up to this revision.")
    max_staleness: Seconds | None = Field(
        None, description="How old a cached answer may be; `2s` when absent."
    )
    refuse_partial: bool | None = Field(None, description="Refuse an answer that lacks a shard.")
    group_by: GroupBy | None = Field(None, description="At most so many hits of each value of an attribute.")
    diversity: float | None = Field(
        None,
        description="How much variety counts against score among the first 200 hits, 0 to 1.",
        examples=[0.3],
    )
    min_similarity: float | None = Field(
        None, description="Leave out hits with a lower similarity, 0 to 100.", examples=[40]
    )


class SearchRequest(SearchOptions):
    """A search. The catalogue is in the path."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"parts": [{"text": "red shoes"}], "k": 5}]})

    parts: list[QueryPart] = Field(description="1 to 8 parts, mixed by weight.")


class ScoreTerm(Model):
    """One summand of a score."""

    name: str = Field(examples=["visual.clip"])
    value: float = Field(description="The measured value, or the neutral value where `absent`.")
    weight: float = Field(description="Its weight in the profile.")
    contribution: float = Field(description="value x weight.")
    absent: bool = Field(description="True when there was nothing to measure.")


class Label(Model):
    """A property that a model inferred."""

    name: str = Field(examples=["gender"])
    value: str = Field(examples=["Women"])
    probability: float


class Photo(Model):
    """A photo of a product."""

    id: str | None = Field(None, description="Unique within the product; made from the content when absent.")
    image: Image | None = Field(None, description="Input only. The picture.")
    digest: str | None = Field(None, description="Output only. Hex SHA-256 of the content.")
    media_path: str | None = Field(None, description="Output only. Where a picture of it is served.")
    width: int | None = Field(None, description="Output only. Pixels across.")
    height: int | None = Field(None, description="Output only. Pixels down.")


class Product(Model):
    """A product."""

    name: str = Field(
        description="`catalogs/{catalog}/products/{product}`.", examples=["catalogs/demo/products/4711"]
    )
    title: str | None = Field(None, description="At most 1,000 characters.", examples=["Red canvas shoes"])
    description: str | None = Field(None, description="At most 10,000 characters.")
    photos: list[Photo] | None = Field(None, description="Up to 16.")
    attributes: dict[str, AttributeValues] | None = Field(
        None,
        description="What the shop states, at most 64 attributes.",
        examples=[{"gender": {"values": [{"text": "Women"}]}, "price": {"values": [{"number": 39.9}]}}],
    )
    labels: list[Label] | None = Field(None, description="Output only. What models inferred.")
    revision: Int64 | None = Field(None, description="Output only. The log revision of its last write.")
    update_time: datetime | None = Field(None, description="Output only. When it was last written.")


class Hit(Model):
    """One product found."""

    product: Product
    photo_id: str = Field(description="The photo that matched best.")
    score: float = Field(description="Sum of the terms' contributions.")
    similarity: float = Field(description="0 to 100, comparable between queries of one kind.")
    band: Literal["BAND_LOW", "BAND_MEDIUM", "BAND_HIGH"] = Field(
        description="The same in words: from 40, from 70."
    )
    terms: list[ScoreTerm] = Field(description="The score's summands; only when asked.")
    group_value: str | None = Field(None, description="Its value of the attribute of `group_by`.")


class StageTiming(Model):
    """How long one stage took."""

    stage: str = Field(examples=["embed"])
    duration_ms: float


class FacetValue(Model):
    """One value of a facet."""

    value: AttributeValue
    count: Int64 = Field(description="Products with it.")


class Facet(Model):
    """How often each value of an attribute occurs among the products that pass the filter."""

    attribute: str
    values: list[FacetValue] = Field(description="The most frequent first, at most 100.")


class DroppedHit(Model):
    """A product that was left out although it looks alike."""

    product: str
    reason: str


class SearchResponse(Model):
    """What was found."""

    hits: list[Hit] = Field(description="In order.")
    next_page_token: str = Field(description="For the next page; empty on the last.")
    query_id: str = Field(description="Names this query in logs and feedback.")
    revision: Int64 = Field(description="The oldest log revision any shard answered from.")
    generation: str = Field(description="The generation used.")
    shards_ok: int = Field(description="Shards that answered.")
    shards_total: int = Field(description="Shards there are.")
    degraded: list[str] = Field(
        description="Why the answer is less than it could be; empty when it is whole."
    )
    stages: list[StageTiming] = Field(description="How long each stage took.")
    cache: Literal[
        "CACHE_OUTCOME_BYPASS", "CACHE_OUTCOME_MISS", "CACHE_OUTCOME_HIT", "CACHE_OUTCOME_SHARED"
    ] = Field(description="Where the answer came from.")
    facets: list[Facet]
    query_labels: list[Label] = Field(description="What was understood of the query; only when asked.")
    dropped: list[DroppedHit] = Field(description="Products that were dropped; only when asked.")
    plans: list[str] = Field(description="How the shards searched.")
    profile: str = Field(description="The profile used.")
    group_by: GroupBy | None = Field(None, description="The cap that held.")
    diversity: float = Field(description="The diversity of the order; 0 where that could not be done.")


class SpaceSpec(Model):
    """A space as a generation has frozen it."""

    space: str
    model_digest: str
    dimension: int
    accepts_text: bool
    model: str


class Profile(Model):
    """A named set of weights for score terms."""

    name: str
    weights: dict[str, float]


class Generation(Model):
    """A frozen set of models and weights."""

    id: str
    spaces: list[SpaceSpec]
    profiles: list[Profile] = Field(description="The first is the default.")


class Catalog(Model):
    """A catalogue."""

    name: str = Field(examples=["catalogs/demo"])
    active_generation: Generation
    product_count: Int64
    photo_count: Int64
    revision: Int64
    create_time: datetime


class CreateCatalogRequest(Model):
    """A catalogue to create."""

    catalog_id: str = Field(description="1 to 63 lower-case letters, digits and hyphens.", examples=["demo"])


class CreateCatalogResponse(Model):
    """As created."""

    catalog: Catalog


class GetCatalogResponse(Model):
    """A catalogue."""

    catalog: Catalog


class ListCatalogsResponse(Model):
    """Catalogues by id."""

    catalogs: list[Catalog]
    next_page_token: str = Field(description="Empty on the last page.")


class UpsertProduct(Model):
    """One product to write, whole."""

    product: Product
    clear_photos: bool | None = Field(None, description="Remove the photos that it has, when none is given.")


class BatchUpsertProductsRequest(Model):
    """Products to write. The catalogue is in the path."""

    products: list[UpsertProduct] = Field(description="1 to 256.")
    request_id: str | None = Field(None, description="A UUID; a repeated request with it writes nothing.")


class ItemStatus(Model):
    """What is wrong with one item."""

    code: int = Field(description="A google.rpc.Code.")
    message: str
    reason: str
    field: str


class PhotoProblem(Model):
    """A photo that could not be read."""

    index: int = Field(description="Its place among the product's photos.")
    status: ItemStatus


class UpsertResult(Model):
    """The outcome of one product."""

    product: str
    status: ItemStatus | None = Field(None, description="Absent on success.")
    photo_problems: list[PhotoProblem]
    unchanged: bool = Field(description="True when nothing differed and nothing was written.")


class BatchUpsertProductsResponse(Model):
    """One outcome a product, in order."""

    results: list[UpsertResult]
    revision: Int64 = Field(description="A `min_revision` that sees all of them.")
    stages: list[StageTiming]


class GetProductResponse(Model):
    """A product."""

    product: Product


class ListProductsResponse(Model):
    """Products by id."""

    products: list[Product]
    next_page_token: str = Field(description="Empty on the last page.")


class DeleteProductResponse(Model):
    """The deletion."""

    revision: Int64 = Field(description="The revision of the write.")
