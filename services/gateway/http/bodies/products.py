"""Products: what a shop states of them, and what becomes of writing them."""

from __future__ import annotations

from pydantic import Field

from services.gateway.http.bodies.base import Double, Int32, Int64, Model, Several, Timestamp
from services.gateway.http.bodies.common import AttributeValues, Image, ItemStatus, Label, StageTiming


class Photo(Model):
    """A photo of a product."""

    id: str | None = Field(None, description="Unique within the product; made from the content when absent.")
    image: Image | None = Field(
        None, description="Input only. The picture, or an address that it is fetched from once."
    )
    digest: str | None = Field(None, description="Output only. Hex SHA-256 of the content.")
    media_path: str | None = Field(None, description="Output only. Where a picture of it is served.")
    width: Int32 | None = Field(None, description="Output only. Pixels across.")
    height: Int32 | None = Field(None, description="Output only. Pixels down.")
    uri: str | None = Field(
        None, description="Output only. Where it was fetched from, when it was given as an address."
    )


class NearDuplicate(Model):
    """Another product whose photo is the same, or nearly so."""

    product: str = Field(description="Name of the other product.")
    photo_id: str = Field(description="The photo of this product.")
    other_photo_id: str = Field(description="The photo of the other product that is most like it.")
    cosine: Double = Field(description="Their cosine, 1 for the same file.")


class Product(Model):
    """A product. What is output only is not looked at in a write, so that what was read can be written."""

    name: str | None = Field(
        None,
        description="`catalogs/{catalog}/products/{product}`; may be absent where the path tells it.",
        examples=["catalogs/demo/products/4711"],
    )
    title: str | None = Field(None, description="At most 1,000 characters.", examples=["Red canvas shoes"])
    description: str | None = Field(None, description="At most 10,000 characters.")
    photos: Several[Photo] | None = Field(
        None,
        max_length=16,
        description="Up to 16. When none is given for a product that exists, its photos stay.",
    )
    attributes: dict[str, AttributeValues] | None = Field(
        None,
        max_length=64,
        description="What the shop states, at most 64 attributes.",
        json_schema_extra={"propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$"}},
        examples=[{"gender": {"values": [{"text": "Women"}]}, "price": {"values": [{"number": 39.9}]}}],
    )
    labels: Several[Label] | None = Field(
        None, max_length=1000, description="Output only. What models inferred."
    )
    revision: Int64 | None = Field(None, description="Output only. The log revision of its last write.")
    update_time: Timestamp | None = Field(None, description="Output only. When it was last written.")
    etag: str | None = Field(
        None,
        description="Names what the shop states of it. Given with a write, the write is refused where it is "
        "not that of the product.",
    )
    near_duplicates: Several[NearDuplicate] | None = Field(
        None, max_length=1000, description="Output only. Other products that show the same, or nearly so."
    )


class PhotoProblem(Model):
    """A photo that could not be read."""

    index: int = Field(description="Its place among the product's photos.")
    status: ItemStatus


class GetProductResponse(Model):
    """A product."""

    product: Product


class CreateProductResponse(Model):
    """A product as created."""

    product: Product
    photo_problems: list[PhotoProblem] = Field(description="Photos that could not be read; others could.")


class UpdateProductResponse(Model):
    """A product as it is now."""

    product: Product
    photo_problems: list[PhotoProblem] = Field(description="Photos that could not be read; others could.")


class DeleteProductResponse(Model):
    """The deletion."""

    revision: Int64 = Field(description="The revision of the write.")


class ListProductsResponse(Model):
    """Products by id."""

    products: list[Product]
    next_page_token: str = Field(description="Empty on the last page.")


class UpsertProduct(Model):
    """One product to write, whole."""

    product: Product
    clear_photos: bool | None = Field(None, description="Remove the photos that it has, when none is given.")


class BatchUpsertProductsRequest(Model):
    """Products to write. The catalogue is in the path."""

    products: Several[UpsertProduct] = Field(min_length=1, max_length=256, description="1 to 256.")
    request_id: str | None = Field(
        None,
        description="A UUID; a repeated request with it writes nothing.",
        json_schema_extra={"format": "uuid"},
    )


class UpsertResult(Model):
    """The outcome of one product."""

    product: str
    status: ItemStatus | None = Field(None, description="Absent on success.")
    photo_problems: list[PhotoProblem]
    unchanged: bool = Field(description="True when nothing differed and nothing was written.")
    etag: str = Field(description="Its etag from now on.")
    near_duplicates: list[NearDuplicate] = Field(
        description="Products that show the same as its new photos, or nearly so."
    )


class BatchUpsertProductsResponse(Model):
    """One outcome a product, in order."""

    results: list[UpsertResult]
    revision: Int64 = Field(description="A `min_revision` that sees all of them.")
    stages: list[StageTiming]
