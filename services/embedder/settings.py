"""Settings of the embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.embedder.cores import available
from services.embedder.devices import DeviceChoice, DtypeChoice
from services.mesh.models_dir import models_dir_default
from services.mesh.settings import ServiceSettings


def _decode_threads() -> int:
    return max(2, min(available(), 16))


class EmbedderSettings(ServiceSettings):
    """`VITRINE_EMBEDDER_...` or flags."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_EMBEDDER_")

    port: int = Field(50052, ge=0, le=65535, description="gRPC port.")
    models_dir: Path = Field(default_factory=models_dir_default, description="Where the weights lie.")
    more_models_dirs: list[Path] = Field(
        [],
        max_length=8,
        description="Directories of further models of the same spaces, asked for as `space@digest`.",
    )
    device: DeviceChoice = Field("auto", description="`auto` takes a GPU where there is one.")
    dtype: DtypeChoice = Field("auto", description="`auto` takes bfloat16 where the hardware computes in it.")
    max_batch_images: int = Field(64, ge=1, le=1024, description="Most images in one call.")
    max_batch_texts: int = Field(256, ge=1, le=4096, description="Most texts in one call.")
    max_queued_items: int = Field(
        512, ge=1, le=100_000, description="Most images and texts waiting; more are refused."
    )
    max_queued_bytes: int = Field(
        256 << 20, ge=1 << 20, le=1 << 36, description="Most bytes of images and texts waiting."
    )
    max_image_bytes: int = Field(20 << 20, ge=1 << 10, le=1 << 30, description="Largest encoded image.")
    max_image_pixels: int = Field(50_000_000, ge=1 << 10, description="Most pixels of an image.")
    decode_threads: int = Field(
        default_factory=_decode_threads, ge=1, le=64, description="Threads that decode images."
    )
    fetch_timeout_s: float = Field(5.0, gt=0, le=300, description="Longest fetch of an image by address.")
    fetch_allowed_hosts: list[str] = Field(
        [],
        max_length=256,
        description="Hosts in private networks that images may be fetched from; `.shop.internal` for all"
        " below a domain.",
    )

    @model_validator(mode="after")
    def _one_call_fits(self) -> Self:
        most = max(self.max_batch_images, self.max_batch_texts)
        if self.max_queued_items < most:
            raise ValueError(f"max_queued_items must be at least {most}, the most items of one call")
        if self.max_queued_bytes < max(self.max_message_bytes, self.max_image_bytes):
            raise ValueError("max_queued_bytes must be at least max_message_bytes and max_image_bytes")
        return self
