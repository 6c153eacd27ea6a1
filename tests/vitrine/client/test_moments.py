from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from vitrine.client.moments import moment_of, timestamp
from vitrine.v1 import catalog_pb2

FIRST, LAST = datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2200-01-01")
ZONES = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))


@given(st.datetimes(FIRST, LAST, timezones=ZONES))
def test_a_time_survives_the_wire(moment: datetime) -> None:
    """It comes back as the same time in UTC, whatever its zone was."""
    back = moment_of(catalog_pb2.Catalog(create_time=timestamp(moment, "start")), "create_time")
    assert back == moment
    assert back is not None
    assert back.tzinfo is UTC


def test_no_time_is_none() -> None:
    """What is not set is no time, in both directions."""
    assert timestamp(None, "start") is None
    assert moment_of(catalog_pb2.Catalog(), "create_time") is None


def test_a_time_without_a_zone_is_refused() -> None:
    """Which zone it was meant in is not guessed."""
    with pytest.raises(InvalidArgument) as caught:
        timestamp(FIRST, "start")
    assert caught.value.field == "start"
