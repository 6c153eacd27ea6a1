import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from vitrine.client.filters import Exists, Not, Range, to_message, value_message, value_of
from vitrine.v1 import common_pb2


@given(st.text() | st.floats(allow_nan=False) | st.booleans())
def test_values_survive_the_wire(value: str | float | bool) -> None:
    """A text, a number or a flag comes back as what it was, and flags are not taken for numbers."""
    back = value_of(value_message(value, "any"))
    assert back == value
    assert type(back) is type(value)


def test_a_mapping_is_one_clause_an_attribute() -> None:
    """All entries of a mapping must hold, each with the test that its value says."""
    message = to_message(
        {"gender": "Women", "colour": ["Red", "Pink"], "price": Range(10), "brand": Exists(False)}
    )
    gender, colour, price, brand = (clause.any_of[0] for clause in message.all_of)
    assert gender.equals.text == "Women"
    assert [value.text for value in getattr(colour, "in").values] == ["Red", "Pink"]
    assert price.range.min == 10
    assert not price.range.HasField("max")
    assert brand.WhichOneof("test") == "exists"
    assert not brand.exists


def test_not_negates_what_it_holds() -> None:
    """Not turns any test round."""
    (clause,) = to_message({"gender": Not("Men")}).all_of
    assert clause.any_of[0].negated
    assert clause.any_of[0].equals.text == "Men"


def test_a_message_is_taken_as_it_is() -> None:
    """What a mapping cannot say is said with the message itself."""
    message = common_pb2.Filter(all_of=[common_pb2.Clause()])
    assert to_message(message) is message


def test_a_test_of_another_type_is_refused_by_name() -> None:
    """Something that is no test is an error that names the attribute."""
    with pytest.raises(InvalidArgument) as caught:
        to_message({"price": object()})  # type: ignore[dict-item]
    assert caught.value.field == "filter.price"
    with pytest.raises(InvalidArgument):
        to_message({"price": [None]})  # type: ignore[list-item]
