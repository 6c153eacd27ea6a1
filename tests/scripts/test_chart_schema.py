from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from scripts import chart_docs, chart_schema, chart_settings
from scripts.chart_values import load, parse

SCHEMA = chart_schema.schema(load())


def _refusals(values: dict[str, Any]) -> list[str]:
    return [error.json_path for error in Draft7Validator(SCHEMA).iter_errors(values)]


def test_the_schema_is_one() -> None:
    """Draft 7 itself takes it, and it takes no key that it does not name."""
    Draft7Validator.check_schema(SCHEMA)
    assert _refusals({}) == []
    assert _refusals({"gatewy": {}}) == ["$"]


@pytest.mark.parametrize(
    ("text", "lack"), [("# -- A list.\nitems: []\n", "no shape"), ("items: 1\n", "no comment")]
)
def test_untold_values_are_told_with_their_line(text: str, lack: str) -> None:
    """A value without a comment, or whose shape nobody knows, is no value of the chart."""
    with pytest.raises(chart_schema.Untold, match=rf"values\.yaml:\d: items .*{lack}"):
        chart_schema.schema(parse(text))


def test_variants_have_what_stands_around_them() -> None:
    """A class may change anything of the embedder, a set anything of shards but what all have in common."""
    assert _refusals({"embedder": {"classes": {"fast": {"drainSeconds": 130, "enabled": True}}}}) == []
    assert _refusals({"vectorsearch": {"sets": {"b": {"shards": 2, "drainSeconds": 130}}}}) == []
    assert _refusals({"vectorsearch": {"sets": {"b": {"shards": 2, "next": "c"}}}}) != []
    assert _refusals({"vectorsearch": {"sets": {"Blue": {"shards": 2}}}}) != []


@pytest.mark.parametrize("component", chart_settings.SERVICES)
def test_settings_are_those_of_the_code(component: str) -> None:
    """Each has a description and its limits; what the chart gives itself is not among them."""
    known = chart_settings.schema(component)["properties"]
    assert known["max_inflight"]["maximum"] == 100_000
    assert known["log_level"]["enum"] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert all(each["description"] for each in known.values())
    assert known.keys().isdisjoint({"port", "host", "tls_key", "store_url", "shards"})


def test_every_value_is_told_of() -> None:
    """The README has a row for each value with a comment that is not within one of Kubernetes' own."""
    readme = next(text for path, text in chart_docs.files().items() if path.name == chart_docs.README)
    for value in ("store.url", "gateway.resources", "vectorsearch.sets", "jobs.snapshot.schedule"):
        assert f"| `{value}` |" in readme
    assert "| `shard_timeout_s` |" in readme
    assert "gateway.resources.limits" not in readme
