"""Settings of the embedder."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.embedder.devices import DeviceChoice, DtypeChoice
from services.mesh.models_dir import models_dir_default
from services.mesh.settings import ServiceSettings


class EmbedderSettings(ServiceSettings):
    """`VITRINE_EMBEDDER_...` or flags."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_EMBEDDER_")

    port: int = Field(50052, ge=0, le=65535, description="gRPC port.")
    models_dir: Path = Field(default_factory=models_dir_default, description="Where the weights lie.")
    device: DeviceChoice = Field("auto", description="`auto` takes a GPU where there is one.")
    dtype: DtypeChoice = Field("auto", description="`auto` takes bfloat16 where the hardware computes in it.")
    max_batch_images: int = Field(64, ge=1, le=1024, description="Most images in one call.")
    max_batch_texts: int = Field(256, ge=1, le=4096, description="Most texts in one call.")
    max_queued_images: int = Field(
        512, ge=1, le=100_000, description="Most images waiting; more are refused."
    )
    max_image_bytes: int = Field(20 << 20, ge=1 << 10, le=1 << 30, description="Largest encoded image.")
    max_image_pixels: int = Field(50_000_000, ge=1 << 10, description="Most pixels of an image.")
    decode_threads: int = Field(2, ge=1, le=64, description="Threads that decode images.")
