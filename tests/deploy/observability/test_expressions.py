from __future__ import annotations

from tests.deploy.observability.expressions import names
from tests.deploy.observability.rules import compared


def test_names_are_told_from_functions_and_labels() -> None:
    """Metrics come with the labels that are matched, and the labels of groups apart."""
    found = names(
        'sort_desc(max by (pod, le) (rate(a_total{x="b{c}", y!~"d"}[5m]))'
        " / on (pod) group_left (z) e:f) > bool 0"
    )
    assert found.matched == {"a_total": {"x", "y"}, "e:f": frozenset()}
    assert found.grouped == {"pod", "le", "z"}


def test_the_left_sides_of_an_alert() -> None:
    """What is compared, without limits, and without how the comparisons are joined."""
    assert compared('sum by (a) (b) == 0\nand on (a) c > 14.4 * 0.001 and d{e!="f"} >= 1') == [
        "sum by (a) (b)",
        "c",
        'd{e!="f"}',
    ]
