from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cache.sealing import MAX_SKEW_S, opened, sealed


@given(st.binary(max_size=64), st.binary(max_size=200), st.floats(0, 100), st.floats(0.001, 100))
def test_a_value_comes_back_with_its_times(key: bytes, value: bytes, age_s: float, more_s: float) -> None:
    """What was sealed is opened with its age, what is left of its time, and its cost."""
    data = sealed(key, value, now_s=1_000.0, ttl_s=age_s + more_s, cost_s=0.5)
    kept = opened(key, data, now_s=1_000.0 + age_s)
    if kept is None:
        # The time left is lost in the rounding of the clock.
        assert more_s < 0.01
        return
    assert kept.value == value
    assert kept.cost_s == 0.5
    assert abs(kept.age_s - age_s) < 1e-6
    assert abs(kept.left_s - more_s) < 1e-6


@given(st.binary(max_size=40), st.data())
def test_nothing_damaged_is_opened(value: bytes, data: st.DataObject) -> None:
    """A changed byte, a cut or another key is noticed."""
    whole = sealed(b"key", value, now_s=0.0, ttl_s=10.0, cost_s=0.0)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    assert opened(b"key", bytes(damaged), now_s=1.0) is None
    assert opened(b"key", whole[:place], now_s=1.0) is None
    assert opened(b"other", whole, now_s=1.0) is None
    assert opened(b"key", whole, now_s=1.0) is not None


def test_clocks_may_differ_a_little() -> None:
    """A value from the near future counts as new, one from further off as none, one that is over as none."""
    data = sealed(b"k", b"v", now_s=100.0, ttl_s=10.0, cost_s=0.0)
    near = opened(b"k", data, now_s=100.0 - MAX_SKEW_S)
    assert near is not None
    assert near.age_s == 0.0
    assert opened(b"k", data, now_s=99.9 - MAX_SKEW_S) is None
    assert opened(b"k", data, now_s=110.0) is None
