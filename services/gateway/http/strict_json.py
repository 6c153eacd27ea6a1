"""JSON read strictly, and without letting a small body become a large heap.

What RFC 8259 leaves to the reader is refused: a name twice in an object, NaN and Infinity, other encodings
than UTF-8. Callers find such mistakes here rather than in their data.
"""

from __future__ import annotations

import json
import re
from typing import Any

from services.mesh.errors import InvalidArgument

# A list or an object takes two bytes of JSON and more than a hundred of memory.
MAX_VALUES = 1 << 20
# No message has as many fields, nor any product as many attributes.
MAX_NAMES = 128
# More than a double or a 64-bit integer ever needs; Python takes quadratic time for long ones.
MAX_DIGITS = 40

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(content: bytes) -> Any:
    """The value that `content` is.

    Raises InvalidArgument for what is not JSON, has more than MAX_VALUES values, objects of more than
    MAX_NAMES names, integers of more than MAX_DIGITS digits, or nests deeper than the interpreter can follow.
    """
    # Also counts what is within strings, of which base64 has none and words a few.
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise InvalidArgument("", f"the JSON has more than {MAX_VALUES} values")
    try:
        value = json.loads(
            content.decode(), object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant
        )
        if _ESCAPED_SURROGATE.search(content):
            # Two of them are one character; what is no character by itself cannot be written again.
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError as error:
        raise InvalidArgument("", "the JSON nests too deeply") from error
    except UnicodeError as error:
        raise InvalidArgument("", "the JSON is not Unicode in UTF-8") from error
    except ValueError as error:
        raise InvalidArgument("", f"is not JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise InvalidArgument("", f"an object of the JSON has more than {MAX_NAMES} names")
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidArgument(next(name for name in made if names.count(name) > 1), "is given twice")
    return made


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidArgument("", f"a number of the JSON has more than {MAX_DIGITS} digits")
    return int(digits)


def _constant(name: str) -> float:
    raise InvalidArgument("", f"{name} is not JSON")
