"""The audit log: one line a write, with who, what and what came of it.

Never what was written: no title, no picture, no key's secret.
"""

from __future__ import annotations

from typing import Any

import structlog
from google.protobuf.message import Message

from services.gateway.access.caller import Caller
from services.gateway.access.policy import Need

MAX_IDS = 20
MAX_CHARACTERS = 200

_log = structlog.get_logger()

# Fields that name what is made, beside the one that names where.
_NEW_IDS = ("catalog_id", "product_id")
# Where responses say which revision the write has, and what was made.
_REVISIONS = (("revision",), ("product", "revision"))
_MADE = (("api_key", "name"), ("generation", "name"))


def tell(
    *, caller: Caller, method: str, need: Need, request: Message, response: Message | None, code: str
) -> None:
    """Write the line of one write; `response` is None unless it succeeded, `code` that of its gRPC status."""
    fields: dict[str, Any] = {"who": caller.id, "method": method, "code": code}
    resources = need.resources(request) if need.resources else (getattr(request, "name", ""),)
    named = [_short(name) for name in resources if name]
    if named:
        fields["resource"] = named[0]
    for field in _NEW_IDS:
        if new_id := getattr(request, field, ""):
            fields[field] = _short(new_id)
    if "products" in request.DESCRIPTOR.fields_by_name:
        fields |= _batch(request, response)
    if response is not None:
        if revision := _first(response, _REVISIONS):
            fields["revision"] = revision
        if made := _first(response, _MADE):
            fields["made"] = made
    _log.info("audit", **fields)


def _batch(request: Any, response: Any) -> dict[str, Any]:
    ids = [_short(each.product.name.rpartition("/")[2]) for each in request.products[:MAX_IDS]]
    counts = {"products": len(request.products), "product_ids": ids}
    if response is None:
        return counts
    return counts | {"failed": sum(result.HasField("status") for result in response.results)}


def _first(message: Message, paths: tuple[tuple[str, ...], ...]) -> Any:
    for path in paths:
        value: Any = message
        for field in path:
            value = getattr(value, field, None)
        if value:
            return value
    return None


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
