from __future__ import annotations

import io

from rich.console import Console

from services.trainer.evaluation import document, tables
from tests.trainer.evaluation.shops import Evaluate


def test_everything_is_readable_on_a_terminal(evaluate: Evaluate) -> None:
    """In 80 columns all rankings stand beside each other, with intervals, slices, cost and drops."""
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables.of(document.of(evaluate(query_metadata=True))):
        console.print(table)
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    for words in ("similar, masked", "gender, category @10", "Women", "one search", "wrong gender dropped"):
        assert words in text
    assert text.count("±") > 30
