"""Typed settings from the environment (`VITRINE_<SERVICE>_<KEY>`) and from flags (`--key`), flags first.

A wrong value, or a variable with our prefix that no setting has, stops the process at once with the key's
name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

import grpc
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.mesh import channel

# What a process ends with whose settings are wrong: nobody need try again before they are mended.
SETTINGS_STATUS = 2

Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service can be told. A service subclasses it with its own `env_prefix`."""

    model_config = SettingsConfigDict(cli_kebab_case=True, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(0, description="gRPC port.")
    metrics_port: Port = Field(0, description="Prometheus port; 0 turns metrics off.")
    health_port: Port = Field(
        0,
        description="Plaintext gRPC port with nothing but the health service, for probes that have no"
        " certificate; 0 for none.",
    )
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+)?$",
        description="OTLP/gRPC receiver of traces, such as http://otel-collector:4317; no traces without.",
    )
    otlp_ca: Path | None = Field(
        None,
        description="PEM file of the authorities of the receiver's certificate, where that is none of a"
        " public one.",
    )
    trace_sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of requests traced where the caller has not decided; else as it says.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe lines logged."
    )
    max_inflight: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Calls handled at once, of gRPC and of HTTP each; more are refused.",
    )
    max_message_bytes: int = Field(64 << 20, ge=1 << 16, le=1 << 30, description="Largest message received.")
    default_timeout_s: float = Field(30.0, gt=0, le=3600, description="Deadline of a call that states none.")
    max_connection_age_s: float = Field(
        300.0,
        gt=0,
        description="Connections are closed, without harm, at this age, so that callers find new pods.",
    )
    drain_s: float = Field(20.0, ge=0, le=600, description="Time for calls in hand to end after SIGTERM.")

    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate chain; plain text is served without one."
    )
    tls_key: Path | None = Field(None, description="PEM file of its private key.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities of callers' certificates, which are then required."
    )
    tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities of other services' certificates; they are called in plain"
        " text without one.",
    )
    tls_client_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain that is shown to other services."
    )
    tls_client_key: Path | None = Field(None, description="PEM file of its private key.")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key are given together or not at all")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if (self.tls_client_certificate is None) != (self.tls_client_key is None):
            raise ValueError("tls_client_certificate and tls_client_key are given together or not at all")
        if self.tls_client_certificate is not None and self.tls_ca is None:
            raise ValueError("tls_client_certificate needs tls_ca")
        return self

    @model_validator(mode="after")
    def _otlp_ca_is_used(self) -> Self:
        if self.otlp_ca is not None and not self.otlp_endpoint.startswith("https:"):
            raise ValueError("otlp_ca needs an otlp_endpoint with https")
        return self

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """For channels to other services; None where they are called in plain text.

        Raises OSError when a file cannot be read.
        """
        if self.tls_ca is None:
            return None
        return channel.credentials(
            ca=self.tls_ca, certificate=self.tls_client_certificate, key=self.tls_client_key
        )

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
            # What is wrong with several settings together names them itself.
            place = f"{prefix}{key}".upper() + f" (--{key.replace('_', '-')}): " if key else ""
            _stop(place + problem["msg"])
        except SettingsError as error:
            _stop(str(error))


def _stop(message: str) -> NoReturn:
    print(f"settings: {message}", file=sys.stderr)
    raise SystemExit(SETTINGS_STATUS)
