from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh import vectors
from services.mesh.errors import InvalidArgument
from vitrine.v1 import common_pb2

_FLOATS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=64)


@given(_FLOATS)
def test_a_vector_reads_back_to_the_bit(numbers: list[float]) -> None:
    """Float32 goes over the wire unchanged, with its space and its model."""
    vector = np.array(numbers, dtype=np.float32)
    message = vectors.encode(vector, space="clip", model_digest="ab")
    assert (message.space, message.model_digest) == ("clip", "ab")
    decoded = vectors.decode(message, field="v", dimension=len(numbers))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, vector)


@given(_FLOATS)
def test_half_precision_is_read(numbers: list[float]) -> None:
    """Float16 becomes float32 of the same value."""
    halves = np.clip(np.array(numbers), -6e4, 6e4).astype("<f2")
    message = common_pb2.Vector(encoding=common_pb2.VECTOR_ENCODING_FLOAT16, data=halves.tobytes())
    np.testing.assert_array_equal(vectors.decode(message, field="v"), halves.astype(np.float32))


def test_views_are_encoded_as_they_read() -> None:
    """Strides and other types of numbers do not matter."""
    whole = np.arange(10, dtype=np.float64)
    message = vectors.encode(whole[::2].astype(np.float32), space="s", model_digest="d")
    assert vectors.decode(message, field="v").tolist() == [0, 2, 4, 6, 8]


@given(st.binary(max_size=64), st.integers(0, 5))
def test_any_bytes_are_a_finite_vector_or_refused(data: bytes, encoding: int) -> None:
    """Nothing that was sent makes a vector with gaps; the field at fault is named."""
    message = common_pb2.Vector(data=data)
    message.encoding = encoding  # type: ignore[assignment]
    try:
        assert np.isfinite(vectors.decode(message, field="parts[0].vector")).all()
    except InvalidArgument as error:
        assert error.field in {"parts[0].vector.data", "parts[0].vector.encoding"}


@pytest.mark.parametrize(
    ("data", "dimension"),
    [
        (b"", None),
        (b"123", None),
        (b"1234", 2),
        (b"\x00" * 4 * (vectors.MAX_DIMENSION + 1), None),
        (b"\xff" * 4, None),
    ],
)
def test_what_is_no_vector_is_refused(data: bytes, dimension: int | None) -> None:
    """Nothing, torn numbers, another dimension, too many dimensions, not a number."""
    with pytest.raises(InvalidArgument) as caught:
        vectors.decode(common_pb2.Vector(data=data), field="v", dimension=dimension)
    assert caught.value.field == "v.data"
