from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http import strict_json
from services.mesh.errors import InvalidArgument

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(values, st.booleans())
def test_json_is_read_as_the_library_reads_it(value: Any, ensure_ascii: bool) -> None:
    """What is JSON to everybody comes out the same, escaped or not."""
    assert strict_json.loads(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == value


@given(st.binary(max_size=64))
def test_whatever_it_is_given_it_reads_or_refuses(content: bytes) -> None:
    """No bytes raise anything but InvalidArgument."""
    try:
        strict_json.loads(content)
    except InvalidArgument as error:
        assert error.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"k": 1, "k": 2}', "given twice"),
        (b'{"a": {"k": 1, "k": 1}}', "given twice"),
        (b'{"k": NaN}', "NaN is not JSON"),
        (b'{"k": -Infinity}', "-Infinity is not JSON"),
        (b'{"k": ' + b"9" * 41 + b"}", "digits"),
        (b'{"k": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"k": "\\ud800"}', "Unicode"),
        (b'{"k": "\xff"}', "Unicode"),
        ('{"k": 1}'.encode("utf-16"), "Unicode"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b'{"k": 1,}', "is not JSON"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a":' * 100_000, "too deeply"),
        (b"[" * 5_000 + b"]" * 5_000, "too deeply"),
        (b"[" + b"[]," * (1 << 20) + b"[]]", "values"),
        (json.dumps({str(i): i for i in range(129)}).encode(), "names"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_what_readers_disagree_about_is_refused(content: bytes, message: str) -> None:
    """Names that come twice, numbers that are none, half characters and bombs are refused with words."""
    with pytest.raises(InvalidArgument, match=message):
        strict_json.loads(content)


def test_a_name_that_comes_twice_is_named() -> None:
    """The field at fault is the name."""
    with pytest.raises(InvalidArgument) as refused:
        strict_json.loads(b'{"b": 1, "a": 1, "a": 2}')
    assert refused.value.field == "a"


def test_a_pair_of_surrogates_is_one_character() -> None:
    """Escapes beyond the first plane are what most libraries write."""
    assert strict_json.loads(b'"\\ud83d\\udc5f"') == "👟"


def test_a_bomb_takes_no_memory() -> None:
    """A list of millions of empty lists, a hundred times its size in memory, is not even built."""
    bomb = b"[" + b"[]," * 3_000_000 + b"[]]"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument):
            strict_json.loads(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20
