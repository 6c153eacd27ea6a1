"""Vitrine: visual product search as a gRPC microservice mesh.

The names below come from `vitrine.client`, and `VitrineError` from `vitrine.errors`, imported when first
used: the services import `vitrine.v1` and must not pay for the client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrine.client import (
        AsyncClient as AsyncClient,
    )
    from vitrine.client import (
        Box as Box,
    )
    from vitrine.client import (
        Client as Client,
    )
    from vitrine.client import (
        Exists as Exists,
    )
    from vitrine.client import (
        GroupBy as GroupBy,
    )
    from vitrine.client import (
        Not as Not,
    )
    from vitrine.client import (
        Part as Part,
    )
    from vitrine.client import (
        Photo as Photo,
    )
    from vitrine.client import (
        Product as Product,
    )
    from vitrine.client import (
        Range as Range,
    )
    from vitrine.client import (
        SearchResults as SearchResults,
    )
    from vitrine.client import (
        Timeouts as Timeouts,
    )
    from vitrine.client import (
        TlsFiles as TlsFiles,
    )
    from vitrine.client import (
        Vector as Vector,
    )
    from vitrine.errors import (
        VitrineError as VitrineError,
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Box",
    "Client",
    "Exists",
    "GroupBy",
    "Not",
    "Part",
    "Photo",
    "Product",
    "Range",
    "SearchResults",
    "Timeouts",
    "TlsFiles",
    "Vector",
    "VitrineError",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = "vitrine.errors" if name == "VitrineError" else "vitrine.client"
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
