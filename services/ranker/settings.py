"""Settings of the ranker."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.mesh.models_dir import models_dir_default
from services.mesh.settings import ServiceSettings


class RankerSettings(ServiceSettings):
    """`VITRINE_RANKER_...` or flags."""

    model_config = SettingsConfigDict(env_prefix="VITRINE_RANKER_")

    port: int = Field(50053, ge=0, le=65535, description="gRPC port.")
    models_dir: Path = Field(
        default_factory=models_dir_default, description="Where the prepared prompts lie, in `semantics/`."
    )
