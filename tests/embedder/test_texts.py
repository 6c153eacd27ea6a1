from __future__ import annotations

import pytest

from services.embedder import texts
from services.mesh.errors import InvalidArgument


def test_white_space_is_tidied() -> None:
    """Line breaks and double spaces make no other text."""
    assert texts.clean("  red\n\t shoes ") == "red shoes"


@pytest.mark.parametrize("text", ["", " \n", "x" * 1001, " " * 10_001])
def test_empty_and_endless_texts_are_refused(text: str) -> None:
    """Nothing to embed, or more than anyone types, is the caller's mistake."""
    with pytest.raises(InvalidArgument) as caught:
        texts.clean(text)
    assert caught.value.field == "text"
