"""What counts as a text that can be embedded."""

from __future__ import annotations

from services.mesh.errors import InvalidArgument

MAX_CHARACTERS = 1000


def clean(text: str) -> str:
    """`text` with single spaces. Raises InvalidArgument (field `text`) when nothing or too much is left."""
    cleaned = " ".join(text.split())
    if not cleaned:
        raise InvalidArgument("text", "the text is empty")
    if len(cleaned) > MAX_CHARACTERS:
        raise InvalidArgument(
            "text", f"the text has {len(cleaned)} characters, at most {MAX_CHARACTERS} are allowed"
        )
    return cleaned
