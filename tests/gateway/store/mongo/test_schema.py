from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.store.mongo.connection import MongoConnection
from services.gateway.store.mongo.schema import joined, of_catalog, parted

_CATALOGS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,6}", fullmatch=True)
_PRODUCTS = st.from_regex(r"[A-Za-z0-9._~-]{1,6}", fullmatch=True)


@given(st.lists(st.tuples(_CATALOGS, _PRODUCTS)))
def test_keys_are_in_the_order_of_their_pairs(pairs: list[tuple[str, str]]) -> None:
    """Catalogue and name in one key sort as the pair does, and come apart again."""
    assert [parted(key) for key in sorted(joined(*pair) for pair in pairs)] == sorted(pairs)


@given(_CATALOGS, _CATALOGS, _PRODUCTS, st.one_of(st.just(""), _PRODUCTS))
def test_a_range_is_of_one_catalogue(catalog: str, other: str, name: str, after: str) -> None:
    """The keys of a catalogue after a name are those of its later names, and of no other catalogue."""
    condition = of_catalog(catalog, after)
    is_in = condition["$gt"] < joined(other, name) < condition["$lt"]
    assert is_in == (other == catalog and name > after)


async def test_many_gateways_make_it_at_once(mongo_url: str) -> None:
    """Gateways that find a new database together all get it, with every index once."""
    connections = await asyncio.gather(*(MongoConnection.open(mongo_url) for _ in range(4)))
    database = connections[0].database
    assert await database.schema.find().to_list() == [{"_id": "schema", "version": 1}]
    indexes = await database.products.index_information()
    assert set(indexes) == {"_id_", "scanned", "covered", "flagged", "dead"}
    for connection in connections:
        await connection.close()
