"""Which settings of the services users of the chart may give, and which the chart gives itself."""

from __future__ import annotations

from typing import Any

from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.mesh.settings import ServiceSettings
from services.ranker.settings import RankerSettings
from services.vectorsearch.settings import Settings as VectorsearchSettings

# By component. The feed is a role of the gateway.
SERVICES: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "feed": GatewaySettings,
    "embedder": EmbedderSettings,
    "ranker": RankerSettings,
    "vectorsearch": VectorsearchSettings,
}

_COMMON = frozenset(
    {
        "host",
        "port",
        "metrics_port",
        "health_port",
        "otlp_endpoint",
        "otlp_ca",
        "trace_sample_ratio",
        "tls_certificate",
        "tls_key",
        "tls_client_ca",
        "tls_ca",
        "tls_client_certificate",
        "tls_client_key",
        "drain_s",
    }
)
_GATEWAY = _COMMON | {
    "http_host",
    "http_port",
    "data_dir",
    "store_url",
    "cache_url",
    "cache_namespace",
    "embedder",
    "ranker",
    "shards",
    "next_shards",
    "role",
    "access",
    "admin_key_hash",
    "jwt_keys_file",
    "jwt_issuer",
    "jwt_audience",
}
# What follows from other values, or from how a pod is built.
SET_BY_CHART: dict[str, frozenset[str]] = {
    "gateway": _GATEWAY,
    "feed": _GATEWAY,
    "embedder": _COMMON | {"device", "models_dir"},
    "ranker": _COMMON | {"models_dir"},
    "vectorsearch": _COMMON | {"data_dir", "feed_key", "feed_target", "shard", "shards"},
}
# What has no meaning in a service that calls no other.
_OF_CALLERS = frozenset({"tls_ca", "tls_client_certificate", "tls_client_key"})
WITHOUT_USE = {"embedder": _OF_CALLERS, "ranker": _OF_CALLERS}
# Only what JSON Schema and the people who read it need.
_KEPT = (
    "type",
    "enum",
    "items",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
)


def given(component: str) -> list[str]:
    """The settings of a component that users may give, in the order of the code."""
    return [name for name in SERVICES[component].model_fields if name not in SET_BY_CHART[component]]


def schema(component: str) -> dict[str, Any]:
    """What the `settings` of a component may hold."""
    known = SERVICES[component].model_json_schema()["properties"]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(known[name]) for name in given(component)},
    }


def _property(known: dict[str, Any]) -> dict[str, Any]:
    kept = {key: known[key] for key in _KEPT if key in known}
    if "items" in kept:
        kept["items"] = {"type": kept["items"]["type"]}
    default = f" The code's default is {_told(known['default'])}." if "default" in known else ""
    return {"description": known["description"] + default} | kept


def _told(default: Any) -> str:
    if default in ("", []):
        return "empty"
    # A whole number of seconds reads better without its point.
    return f"{default:g}" if isinstance(default, float) else str(default)
