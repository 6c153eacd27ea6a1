import pytest

from vitrine.cli.values import words


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ("Red", "Red"),
        (["Red", "White"], "Red White"),
        (9.5, "9.5"),
        (1299.0, "1299"),
        (1e16, "10000000000000000"),
        (True, "True"),
        ([38.0, 39.5], "38 39.5"),
    ],
)
def test_values_are_shown_as_people_write_them(values: object, shown: str) -> None:
    """Whole numbers have no decimals, several values stand side by side."""
    assert words(values) == shown  # type: ignore[arg-type]  # Values of all kinds.
