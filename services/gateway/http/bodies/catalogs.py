"""Catalogues and their generations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies.base import Int64, Model, Timestamp


class SpaceSpec(Model):
    """A space as a generation has frozen it."""

    space: str = Field(examples=["clip"])
    model_digest: str = Field(description="Hex SHA-256 of the model's weights.")
    dimension: int = Field(description="Length of its vectors.")
    accepts_text: bool = Field(description="True when texts have vectors in it too.")
    model: str = Field(description="The model's name.")


class Profile(Model):
    """A named set of weights for score terms."""

    name: str = Field(examples=["similar"])
    weights: dict[str, float]


class Generation(Model):
    """A frozen set of models and weights."""

    id: str = Field(examples=["g1"])
    spaces: list[SpaceSpec]
    profiles: list[Profile] = Field(description="The first is the default.")


class GenerationStatus(Model):
    """A generation and how far it is."""

    generation: Generation
    state: Literal["GENERATION_STATE_BUILDING", "GENERATION_STATE_READY", "GENERATION_STATE_ACTIVE"] = Field(
        description="Whether its products are being embedded, all are, or searches use it."
    )
    product_count: Int64 = Field(description="Products that have been embedded for it.")
    problem: str = Field(description="Why building does not go on for now; empty when it does.")


class Catalog(Model):
    """A catalogue."""

    name: str = Field(examples=["catalogs/demo"])
    active_generation: Generation = Field(description="The generation that searches use.")
    product_count: Int64
    photo_count: Int64
    revision: Int64 = Field(description="The head of the change log.")
    create_time: Timestamp
    generations: list[GenerationStatus] = Field(description="All of them, oldest first.")


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


class CreateGenerationResponse(Model):
    """As created."""

    generation: GenerationStatus


class ActivateGenerationResponse(Model):
    """The catalogue, which it is the active generation of."""

    catalog: Catalog
