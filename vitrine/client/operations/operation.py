"""One unary call of the gateway: its request, its deadline, and how its response is read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from services.mesh import names

Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Operation(Generic[Response, Result]):
    """One unary call. `read` is given the response and the milliseconds that it took."""

    path: str
    request: Message
    response_type: type[Response]
    timeout_s: float
    read: Callable[[Response, float], Result]


@dataclass(frozen=True)
class Page(Generic[Result]):
    """One page of a list, and where the next one starts (empty after the last)."""

    items: Sequence[Result]
    next_token: str


@dataclass(frozen=True)
class Timeouts:
    """Deadlines: of reads and searches, and of one batch of writes, which embeds its photos."""

    read_s: float = 10.0
    write_s: float = 120.0


def catalog_name(catalog: str) -> str:
    """The name of a catalogue; raises InvalidArgument for a bad id."""
    return names.catalog_name(names.check_catalog_id(catalog, "catalog"))


def product_name(catalog: str, product_id: str) -> str:
    """The name of a product; raises InvalidArgument for a bad id."""
    names.check_catalog_id(catalog, "catalog")
    return names.product_name(catalog, names.check_product_id(product_id, "product"))


def new_request_id() -> str:
    """An id for one write, by which the gateway knows a second try of it."""
    return str(uuid.uuid4())
