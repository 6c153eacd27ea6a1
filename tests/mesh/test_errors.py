from __future__ import annotations

from services.mesh import errors


def test_a_reason_is_given_or_that_of_the_kind() -> None:
    """Programs always find a reason."""
    assert errors.NotFound("x").reason == "NOT_FOUND"
    assert errors.NotFound("x", reason="PRODUCT_NOT_FOUND").reason == "PRODUCT_NOT_FOUND"
    assert errors.ResourceExhausted("x").reason == "OVERLOADED"


def test_a_field_is_seen_from_the_message_around_it() -> None:
    """Paths grow from the inside out, and the rest stays."""
    inner = errors.InvalidArgument("content", "empty", reason="EMPTY")
    outer = inner.under("parts[0].image")
    assert (outer.field, outer.message, outer.reason) == ("parts[0].image.content", "empty", "EMPTY")
    assert errors.InvalidArgument("", "empty").under("parts[0]").field == "parts[0]"


def test_every_error_is_its_message() -> None:
    """Logs and people read the message."""
    assert str(errors.Unavailable("the embedder is away", retry_after_s=3)) == "the embedder is away"
    assert str(errors.InvalidArgument("k", "must be 1 to 100")) == "k: must be 1 to 100"
    assert str(errors.InvalidArgument("", "empty")) == "empty"
