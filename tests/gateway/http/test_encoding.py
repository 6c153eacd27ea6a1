from __future__ import annotations

import json

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http import encoding
from vitrine.v1 import catalog_pb2, common_pb2, search_pb2

numbers = st.floats(allow_nan=True, allow_infinity=True)
# Of the shortest digits of a subnormal float32 the library takes more than are needed.
narrow = st.floats(width=32, allow_subnormal=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
wide = st.integers(-(1 << 63), (1 << 63) - 1)

attribute_values = st.one_of(
    st.builds(common_pb2.AttributeValue, text=words),
    st.builds(common_pb2.AttributeValue, number=numbers),
    st.builds(common_pb2.AttributeValue, flag=st.booleans()),
    st.builds(common_pb2.AttributeValue),
)
several = st.builds(common_pb2.AttributeValues, values=st.lists(attribute_values, max_size=3))
labels = st.builds(common_pb2.Label, name=words, value=words, probability=narrow)


@st.composite
def products(draw: st.DrawFn) -> catalog_pb2.Product:
    product = catalog_pb2.Product(
        name=draw(words), labels=draw(st.lists(labels, max_size=2)), revision=draw(wide)
    )
    for name, values in draw(st.dictionaries(words, several, max_size=3)).items():
        product.attributes[name].CopyFrom(values)
    if draw(st.booleans()):
        product.update_time.FromNanoseconds(draw(st.integers(0, 1 << 60)))
    return product


def reference(message: Message) -> object:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def same(message: Message) -> bool:
    return bool(json.loads(encoding.dumps(message)) == json.loads(json.dumps(reference(message))))


@given(products())
def test_a_product_is_encoded_as_the_library_does(product: catalog_pb2.Product) -> None:
    """The fast encoder says exactly what protobuf's own says."""
    assert same(product)


@given(st.lists(products(), max_size=2), numbers, st.integers(0, 9), st.binary(max_size=40))
def test_a_response_is_encoded_as_the_library_does(
    found: list[catalog_pb2.Product], score: float, band: int, content: bytes
) -> None:
    """Enums, also of unknown values, nested lists and bytes come out as protobuf's own encoder has them."""
    hits = [search_pb2.Hit(product=product, score=score, band=band) for product in found]  # type: ignore[arg-type]
    assert same(search_pb2.SearchResponse(hits=hits, cache=search_pb2.CACHE_OUTCOME_HIT))
    assert same(common_pb2.Image(content=content))


def test_durations_keep_their_textual_form() -> None:
    """A duration is seconds with an s."""
    request = search_pb2.SearchRequest()
    request.max_staleness.FromMilliseconds(2500)
    assert encoding.document(request)["max_staleness"] == "2.500s"
    assert same(request)
