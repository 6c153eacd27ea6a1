from __future__ import annotations

import json

from scripts import columns
from vitrine.catalogs.columns import ALIASES


def test_the_page_knows_the_columns_that_the_command_knows() -> None:
    """Who gives a column another name writes the page's table anew."""
    assert columns.FILE.read_text(encoding="utf-8") == columns.content()


def test_names_are_kept_in_their_order() -> None:
    """Of several columns with one meaning the first in the table is taken, so the order has a meaning."""
    aliases = json.loads(columns.content())["aliases"]
    assert list(aliases) == list(ALIASES)
    assert aliases["id"] == list(ALIASES["id"])
