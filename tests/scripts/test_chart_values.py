from __future__ import annotations

import pytest

from scripts.chart_values import parse

TEXT = """\
# Of the file.

# What is kept where.
store:
  # -- Address of it,
  # over two lines.
  url: ""
  # A note to those who write the chart.
  size: 5
# -- Words.
words: [a, b]
"""


def test_values_have_their_comments() -> None:
    """The comment above a key is its description, over all its lines; a note without dashes is none."""
    store, words = parse(TEXT)
    assert (store.dotted, store.description) == ("store", "What is kept where.")
    assert [(value.dotted, value.description) for value in store.children] == [
        ("store.url", "Address of it, over two lines."),
        ("store.size", ""),
    ]
    assert (words.description, words.default, words.line) == ("Words.", ["a", "b"], 11)


def test_values_are_walked_in_the_order_of_the_file() -> None:
    """A map comes before what is in it."""
    assert [each.dotted for value in parse(TEXT) for each in value.walk()] == [
        "store", "store.url", "store.size", "words",
    ]  # fmt: skip


def test_values_are_a_map() -> None:
    """A list of values is none."""
    with pytest.raises(ValueError, match="map"):
        parse("- 1\n")
