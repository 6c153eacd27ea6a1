"""Products as hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from vitrine.v1 import catalog_pb2, common_pb2

WORDS = st.text("abcß字 ", max_size=6)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["colour", "size", "price", "a1"]),
    st.lists(st.sampled_from(["red", "blue", "9"]), min_size=1, max_size=3),
    max_size=4,
)


@st.composite
def products(draw: st.DrawFn) -> catalog_pb2.Product:
    """A product with everything that can be there, or not."""
    product = catalog_pb2.Product(
        name=draw(st.sampled_from(["catalogs/a/products/1", "catalogs/a/products/2"])),
        title=draw(WORDS),
        description=draw(WORDS),
        etag=draw(WORDS),
        revision=draw(st.integers(0, 9)),
        labels=[common_pb2.Label(name=name) for name in draw(st.lists(st.sampled_from(["gender", "type"])))],
        photos=[
            catalog_pb2.Photo(
                id=photo_id, digest=draw(WORDS), media_path=draw(WORDS), width=draw(st.integers(0, 9))
            )
            for photo_id in draw(st.lists(st.sampled_from(["x", "y", "z"]), unique=True))
        ],
        near_duplicates=[
            catalog_pb2.NearDuplicate(product=draw(WORDS)) for _ in range(draw(st.integers(0, 2)))
        ],
    )
    for name, values in draw(ATTRIBUTES).items():
        product.attributes[name].values.extend(common_pb2.AttributeValue(text=text) for text in values)
    if draw(st.booleans()):
        product.update_time.seconds = draw(st.integers(0, 9))
    return product
