"""Typed settings from the environment (`VITRINE_<SERVICE>_<KEY>`) and from flags (`--key`), flags first.

A wrong value, or a variable with our prefix that no setting has, stops the process at once with the key's
name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Literal, NoReturn, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

# What a process ends with whose settings are wrong: nobody need try again before they are mended.
SETTINGS_STATUS = 2

Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service can be told. A service subclasses it with its own `env_prefix`."""

    model_config = SettingsConfigDict(cli_kebab_case=True, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(0, description="gRPC port.")
    metrics_port: Port = Field(0, description="Prometheus port; 0 turns metrics off.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe lines logged."
    )
    max_inflight: int = Field(256, ge=1, le=100_000, description="RPCs handled at once; more are refused.")
    max_message_bytes: int = Field(64 << 20, ge=1 << 16, le=1 << 30, description="Largest message received.")
    default_timeout_s: float = Field(30.0, gt=0, le=3600, description="Deadline of a call that states none.")
    max_connection_age_s: float = Field(
        300.0,
        gt=0,
        description="Connections are closed, without harm, at this age, so that callers find new pods.",
    )
    drain_s: float = Field(20.0, ge=0, le=600, description="Time for calls in hand to end after SIGTERM.")

    @classmethod
    def load(cls, arguments: Sequence[str]) -> Self:
        """Settings from the environment and `arguments`.

        Where something is wrong the process ends with status 2 and a line that names the key.
        """
        prefix = str(cls.model_config.get("env_prefix", ""))
        known = {f"{prefix}{name}".upper() for name in cls.model_fields}
        unknown = sorted(key for key in os.environ if key.startswith(prefix.upper()) and key not in known)
        if unknown:
            _stop(f"{unknown[0]}: there is no such setting")
        try:
            return cls(
                _cli_parse_args=list(arguments),
                _cli_prog_name=f"python -m {cls.__module__.rpartition('.')[0]}",
            )
        except ValidationError as error:
            problem = error.errors()[0]
            key = "_".join(str(part) for part in problem["loc"])
            _stop(f"{prefix}{key}".upper() + f" (--{key.replace('_', '-')}): {problem['msg']}")
        except SettingsError as error:
            _stop(str(error))


def _stop(message: str) -> NoReturn:
    print(f"settings: {message}", file=sys.stderr)
    raise SystemExit(SETTINGS_STATUS)
