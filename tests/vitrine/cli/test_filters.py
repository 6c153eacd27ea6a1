import pytest

from services.mesh.errors import InvalidArgument
from vitrine.cli.filters import compared, expression_at, parse


def test_no_expression_is_no_filter() -> None:
    """Without --filter every product may answer."""
    assert parse([]) is None


def test_expressions_of_different_attributes_must_all_hold() -> None:
    """Each attribute is a clause of its own."""
    message = parse(["gender=Women", "type = Running Shoes"])
    assert message is not None
    gender, kind = (clause.any_of[0] for clause in message.all_of)
    assert (gender.attribute, gender.equals.text) == ("gender", "Women")
    assert (kind.attribute, kind.equals.text) == ("type", "Running Shoes")


def test_expressions_of_one_attribute_are_alternatives() -> None:
    """The same attribute twice means either."""
    message = parse(["colour=Red", "colour=Pink"])
    assert message is not None
    (clause,) = message.all_of
    assert [condition.equals.text for condition in clause.any_of] == ["Red", "Pink"]


def test_exclusions_must_all_hold() -> None:
    """Neither of two excluded values may be there."""
    message = parse(["colour!=Red", "colour!=Pink"])
    assert message is not None
    assert [len(clause.any_of) for clause in message.all_of] == [1, 1]
    assert all(clause.any_of[0].negated for clause in message.all_of)


@pytest.mark.parametrize(
    ("expression", "low", "high"),
    [
        ("price=10..50", 10, 50),
        ("price=10..", 10, None),
        ("price=..1.5e2", None, 150),
        ("price=-1...5", -1, 0.5),
    ],
)
def test_ranges_have_one_end_or_two(expression: str, low: float | None, high: float | None) -> None:
    """An end that is left out is open."""
    message = parse([expression])
    assert message is not None
    found = message.all_of[0].any_of[0].range
    assert (found.min if found.HasField("min") else None) == low
    assert (found.max if found.HasField("max") else None) == high


def test_a_word_that_reads_as_a_number_or_flag_matches_either_type() -> None:
    """The command line has no types, so both are tried; excluded, neither may match."""
    message = parse(["size=42", "sale=true"])
    assert message is not None
    size, sale = message.all_of
    assert [condition.equals.WhichOneof("kind") for condition in size.any_of] == ["text", "number"]
    assert [condition.equals.WhichOneof("kind") for condition in sale.any_of] == ["text", "flag"]
    excluded = parse(["size!=42"])
    assert excluded is not None
    assert len(excluded.all_of) == 2


def test_inferred_labels_can_be_asked_for() -> None:
    """What a model inferred has a name of its own."""
    message = parse(["inferred.gender=Men"])
    assert message is not None
    assert message.all_of[0].any_of[0].attribute == "inferred.gender"


@pytest.mark.parametrize("expression", ["", "gender", "gender=", "=Women", "a b=c"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    """A typing error is told rather than searched for."""
    with pytest.raises(InvalidArgument) as caught:
        parse([expression])
    assert caught.value.field == "filter"


def test_names_are_made_small() -> None:
    """Attributes have no capitals, so `Gender` is `gender`; values stay as they are."""
    assert parse(["Gender=Women"]) == parse(["gender=Women"])


def test_a_field_of_the_filter_leads_back_to_its_expression() -> None:
    """What the gateway refuses can be told in the words that were typed."""
    expressions = ["colour=Red", "size=42", "colour=Pink", "brand!=Acme"]
    found = {
        field: expression_at(expressions, field)
        for field in (
            "filter.all_of[0].any_of[1].attribute",
            "filter.all_of[1].any_of[1].equals",
            "filter.all_of[2]",
            "filter.all_of",
            "k",
        )
    }
    assert list(found.values()) == ["colour=Pink", "size=42", "brand!=Acme", None, None]


def test_attributes_that_are_compared_are_known_apart_from_ranges() -> None:
    """Each is named once, in the order in which they were typed."""
    assert compared(["Size=42", "price=..10", "colour=Red", "colour!=Pink"]) == ["size", "colour"]
