"""Values of attributes as people write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitrine.client.filters import Value


def word(value: Value) -> str:
    """One value; a whole number has no decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def words(values: Value | Sequence[Value]) -> str:
    """The values of an attribute, of which there may be one."""
    several = [values] if isinstance(values, str | bool | int | float) else values
    return " ".join(word(value) for value in several)
