"""What several resources speak of: attributes, filters, pictures, labels, item statuses."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from services.gateway.http.bodies.base import Base64, Double, Int32, Int64, Model, OneOf, Several


class Empty(Model):
    """Nothing: it is done."""


class AttributeValue(OneOf):
    """One value of an attribute; exactly one field is set."""

    text: str | None = Field(None, description="A keyword such as a colour.", examples=["Red"])
    number: Double | None = Field(None, description="A number such as a price.")
    flag: bool | None = Field(None, description="A yes or no.")


class AttributeValues(Model):
    """The values of one attribute, which may be several."""

    values: Several[AttributeValue] = Field(
        default_factory=list, max_length=1000, description="At most 32 of a product, 1,000 of a filter."
    )


class NumberRange(Model):
    """A range of numbers, both ends included; an absent end is open."""

    min: Double | None = Field(None, description="Lower end.")
    max: Double | None = Field(None, description="Upper end.")


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

    any_of: Several[Condition] = Field(default_factory=list, max_length=64, description="At most 64.")


class Filter(Model):
    """All of these clauses must hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"all_of": [{"any_of": [{"attribute": "gender", "equals": {"text": "Women"}}]}]}]
        }
    )

    all_of: Several[Clause] = Field(default_factory=list, max_length=16, description="At most 16.")


class BoundingBox(Model):
    """A rectangle as fractions of a picture's width and height."""

    left: Double = Field(ge=0, le=1)
    top: Double = Field(ge=0, le=1)
    right: Double = Field(ge=0, le=1)
    bottom: Double = Field(ge=0, le=1)


class Image(Model):
    """A picture: its content, or the address that it is fetched from."""

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


class Label(Model):
    """A property that a model inferred."""

    name: str = Field(examples=["gender"])
    value: str = Field(examples=["Women"])
    probability: Double = Field(ge=0, le=1)


class ScoreTerm(Model):
    """One summand of a score."""

    name: str = Field(examples=["visual.clip"])
    value: Double = Field(description="The measured value, or the neutral value where `absent`.")
    weight: Double = Field(description="Its weight in the profile.")
    contribution: Double = Field(description="value x weight.")
    absent: bool = Field(description="True when there was nothing to measure.")


class FacetValue(Model):
    """One value of a facet."""

    value: AttributeValue
    count: Int64 = Field(description="Products with it.")


class FacetRange(Model):
    """How many products have a number in a range.

    Ends are 0, and 1, 1.5, 2, 3, 5 and 7 times a power of ten.
    """

    min: Double = Field(description="Lower end, which belongs to it.", examples=[30])
    max: Double = Field(
        description="Upper end, which does not. Both are 0 where 0 alone is counted.", examples=[50]
    )
    count: Int64 = Field(description="Products with a number in it.")


class Facet(Model):
    """How often each value of an attribute occurs among the products that pass the filter."""

    attribute: str
    values: list[FacetValue] = Field(description="The most frequent first, at most 100.")
    ranges: list[FacetRange] = Field(
        description="How its numbers are spread: the smallest range first, none that is empty."
    )


class StageTiming(Model):
    """How long one stage took."""

    stage: str = Field(examples=["embed"])
    duration_ms: float


class ItemStatus(Model):
    """What is wrong with one item."""

    code: Int32 = Field(description="A google.rpc.Code.")
    message: str
    reason: str
    field: str
