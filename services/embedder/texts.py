"""What counts as a text that can be embedded."""

from __future__ import annotations

from services.mesh.errors import InvalidArgument

MAX_CHARACTERS = 1000
# Space included. Cleaning takes time in proportion, on the thread that serves everybody.
_MAX_RAW_CHARACTERS = 10 * MAX_CHARACTERS


def clean(text: str) -> str:
    """`text` with single spaces. Raises InvalidArgument (field `text`) when nothing or too much is left."""
    cleaned = " ".join(text.split()) if len(text) <= _MAX_RAW_CHARACTERS else text
    if not cleaned:
        raise InvalidArgument("text", "the text is empty")
    if len(cleaned) > MAX_CHARACTERS:
        raise InvalidArgument(
            "text", f"the text has {len(cleaned)} characters, at most {MAX_CHARACTERS} are allowed"
        )
    return cleaned
