from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from services.mesh.errors import InvalidArgument
from tests.vitrine.fake_gateway import FakeGateway
from vitrine.cli.main import app
from vitrine.cli.queries import moment
from vitrine.v1 import queries_pb2


@pytest.fixture
def shop(gateway: FakeGateway) -> FakeGateway:
    """A gateway with one catalogue."""
    gateway.catalogs["shop"] = {}
    return gateway


def _vitrine(shop: FakeGateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--server", shop.address])


def test_queries_are_listed(shop: FakeGateway) -> None:
    """The newest first, with what they consisted of and what was made of their hits."""
    shown = _vitrine(shop, "queries", "list", "--limit", "1").stdout
    for words in ("q1", '"red shoe", photo', "add_to_cart:a0", "hit"):
        assert words in shown
    assert "q0" not in shown
    options = ("--zero-results-only", "--since", "2026-01-01T00:00Z", "--until", "2026-02-01T00:00Z")
    first, second = json.loads(_vitrine(shop, "queries", "list", *options, "--json").stdout)["queries"]
    assert (first["texts"], first["latency_ms"]) == (["red shoe"], 12.5)
    assert first["time"] == "2023-11-14T22:13:20+00:00"
    assert (second["products"], second["time"]) == (["a1"], None)
    asked = shop.listed[-1]
    assert asked.zero_results_only
    assert asked.start_time.ToDatetime(UTC) == datetime(2026, 1, 1, tzinfo=UTC)


def test_queries_are_summed_up(shop: FakeGateway) -> None:
    """Shares, latencies and words for people; the same as numbers for programs."""
    shown = _vitrine(shop, "queries", "stats", "--since", "7d").stdout
    for words in ("4 (10%)", "20 (50%)", "30 ms", "0.500", "red shoe (9)", "moon boot (2)"):
        assert words in shown
    asked = shop.listed[-1].start_time.ToDatetime(UTC)
    assert timedelta(days=7) <= datetime.now(UTC) - asked < timedelta(days=7, minutes=5)
    told = json.loads(_vitrine(shop, "queries", "stats", "--json").stdout)
    assert (told["queries"], told["top_texts"]) == (40, [{"text": "red shoe", "count": 9}])


def test_times_are_said_in_words_or_as_such() -> None:
    """Ago, with a zone, or local; anything else names the option."""
    assert moment("", "--since") is None
    assert moment("2026-01-01T01:00+01:00", "--since") == datetime(2026, 1, 1, tzinfo=UTC)
    assert moment("2026-01-01", "--since") == datetime(2026, 1, 1).astimezone()
    for words in ("yesterday", "5 h", "-1d"):
        with pytest.raises(InvalidArgument) as caught:
            moment(words, "--since")
        assert caught.value.field == "--since"


def test_feedback_is_recorded(shop: FakeGateway) -> None:
    """What was made of a hit reaches the gateway; an unknown query or kind does not."""
    result = _vitrine(shop, "feedback", "q1", "a0", "add_to_cart", "--place", "3", "--json")
    assert json.loads(result.stdout) == {"recorded": True}
    (recorded,) = shop.feedback
    assert (recorded.product, recorded.place) == ("a0", 3)
    assert recorded.kind == queries_pb2.FEEDBACK_KIND_ADD_TO_CART
    assert "recorded" in _vitrine(shop, "feedback", "q1", "a0", "like").stdout
    unknown = _vitrine(shop, "feedback", "q9", "a0", "like")
    assert (unknown.exit_code, unknown.stderr) == (1, "error: no query of that id is kept\n")
    assert _vitrine(shop, "feedback", "q1", "a0", "stole").exit_code == 2
