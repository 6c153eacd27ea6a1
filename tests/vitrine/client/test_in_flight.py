from __future__ import annotations

from vitrine.client.in_flight import InFlight


def test_there_is_room_for_a_number_of_calls() -> None:
    """One more may begin while there are fewer than the most."""
    calls: InFlight[str] = InFlight(2)
    calls.add("first", ["a"])
    assert calls.has_room()
    calls.add("second", ["b"])
    assert not calls.has_room()
    calls.remove("second")
    assert calls.has_room(["b"])
    assert list(calls) == ["first"]


def test_no_two_calls_write_the_same() -> None:
    """A call that names what another writes has no room until that has ended."""
    calls: InFlight[str] = InFlight(3)
    calls.add("first", ["a", "b"])
    calls.add("second", ["c"])
    assert not calls.has_room(["b", "d"])
    assert calls.has_room(["d"])
    assert calls.pop_oldest() == "first"
    assert calls.has_room(["b", "d"])
    assert len(calls) == 1
