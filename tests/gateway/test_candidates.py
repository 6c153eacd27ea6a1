from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.candidates import merged, merged_facets, visual_scores
from services.vectorsearch.columns import Column
from vitrine.v1 import common_pb2, vectorsearch_pb2

_ROW = st.tuples(
    st.integers(0, 60),
    st.sampled_from([-1.0, 0.0, 0.25, 0.5]),
    st.sampled_from([0.5, None]),
    st.sampled_from("xyz"),
)


def _shard(rows: list[tuple[int, float, float | None, str]]) -> common_pb2.Candidates:
    unique = {f"p{row[0]:02}": row for row in rows}
    columns = sorted(
        (
            (row[1] + 0.5 * (0.4 if row[2] is None else row[2]), product_id, row)
            for product_id, row in unique.items()
        ),
        key=lambda each: (-each[0], each[1]),
    )
    values = sorted({row[3] for _, _, row in columns})
    return common_pb2.Candidates(
        product_ids=[product_id for _, product_id, _ in columns],
        photo_ids=[f"photo-{product_id}" for _, product_id, _ in columns],
        spaces=[
            common_pb2.SpaceScores(
                space="a", weight=1, cosines=np.array([row[1] for _, _, row in columns], "<f4").tobytes()
            ),
            common_pb2.SpaceScores(
                space="b",
                weight=0.5,
                neutral=0.4,
                cosines=np.array(
                    [np.nan if row[2] is None else row[2] for _, _, row in columns], "<f4"
                ).tobytes(),
            ),
        ],
        labels=[
            common_pb2.LabelColumn(
                name="colour",
                values=values,
                codes=np.array(
                    [values.index(row[3]) if row[0] % 3 else -1 for _, _, row in columns], "<i2"
                ).tobytes(),
                probabilities=np.array([row[0] / 100 for _, _, row in columns], "<f4").tobytes(),
            )
        ],
    )


def _rows(candidates: common_pb2.Candidates) -> list[tuple[object, ...]]:
    [colour] = candidates.labels
    codes = np.frombuffer(colour.codes, "<i2").tolist()
    return [
        (
            product_id,
            photo_id,
            round(score, 6),
            colour.values[code] if code >= 0 else None,
            round(probability, 6),
        )
        for product_id, photo_id, score, code, probability in zip(
            candidates.product_ids,
            candidates.photo_ids,
            visual_scores(candidates).tolist(),
            codes,
            np.frombuffer(colour.probabilities, "<f4").tolist(),
            strict=True,
        )
    ]


@given(st.lists(st.lists(_ROW, max_size=12), min_size=1, max_size=4), st.integers(1, 30))
def test_shards_merge_into_one_order(
    shards: list[list[tuple[int, float, float | None, str]]], limit: int
) -> None:
    """The merged list is the best of all shards with everything that is known of each, every product once."""
    made = [_shard(rows) for rows in shards]
    best: dict[object, tuple[object, ...]] = {}
    everything = [row for each in made for row in _rows(each)]
    for row in sorted(everything, key=lambda row: (-float(str(row[2])), str(row[0]))):
        best.setdefault(row[0], row)
    found = _rows(merged(made, limit))
    assert [row[:3] for row in found] == [row[:3] for row in list(best.values())[:limit]]
    assert set(found) <= set(everything)


_COPIES = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from("xyz"), st.sampled_from([None, 0.4, 1.0]), st.integers(-8, 8)
    ),
    max_size=40,
)


def _grouped_shards(
    products: list[tuple[int, str, float | None, int]],
) -> tuple[list[common_pb2.Candidates], dict[str, tuple[float, str | None, str | None]]]:
    """Products over four shards, and each one's score, stated value and value stated or inferred."""
    known: dict[str, tuple[float, str | None, str | None]] = {}
    shards = []
    for shard in range(4):
        own = {f"p{n:02}": each for n, each in enumerate(products) if each[0] == shard}
        order = sorted(own, key=lambda product_id: (-own[product_id][3] / 8, product_id))
        for product_id, (_, value, probability, eighths) in own.items():
            label = None if probability is None else value
            known[product_id] = (eighths / 8, label if probability == 1.0 else None, label)
        # Every shard has its own codes.
        values = sorted({each[1] for each in own.values()}, reverse=bool(shard % 2))
        codes = [-1 if own[each][2] is None else values.index(own[each][1]) for each in order]
        cosines = np.array([own[each][3] / 8 for each in order], "<f4")
        shards.append(
            common_pb2.Candidates(
                product_ids=order,
                photo_ids=["front"] * len(order),
                spaces=[common_pb2.SpaceScores(space="a", weight=1, cosines=cosines.tobytes())],
                labels=[
                    common_pb2.LabelColumn(
                        name=name,
                        values=values,
                        codes=np.array(codes, "<i2").tobytes(),
                        probabilities=np.array([own[each][2] or 0 for each in order], "<f4").tobytes(),
                    )
                    for name in ("colour", "inferred.colour")
                ],
            )
        )
    return shards, known


@given(_COPIES, st.integers(1, 3), st.integers(1, 40), st.booleans())
def test_a_cap_on_groups_holds_over_all_shards(
    products: list[tuple[int, str, float | None, int]], size: int, limit: int, inferred: bool
) -> None:
    """The best so many of each value stay, wherever they are; inferred values count only when asked for."""
    shards, known = _grouped_shards(products)
    seen: dict[str, int] = {}
    expected = []
    for product_id in sorted(known, key=lambda each: (-known[each][0], each)):
        _, stated, either = known[product_id]
        value = either if inferred else stated
        if value is not None:
            seen[value] = seen.get(value, 0) + 1
        if value is None or seen[value] <= size:
            expected.append(product_id)
    attribute = "inferred.colour" if inferred else "colour"
    found = merged(shards, limit, vectorsearch_pb2.GroupBy(attribute=attribute, size=size))
    assert list(found.product_ids) == expected[:limit]


def test_products_without_the_column_are_not_capped() -> None:
    """A shard that has no such attribute has no value of it."""
    full = _shard([(1, 0.5, 0.5, "x"), (2, 0.25, 0.5, "x")])
    bare = _shard([(4, 0.5, 0.5, "x"), (5, 0.25, 0.5, "x")])
    del bare.labels[:]
    full.labels[0].probabilities = np.ones(2, "<f4").tobytes()
    found = merged([full, bare], 10, vectorsearch_pb2.GroupBy(attribute="colour", size=1))
    assert list(found.product_ids) == ["p01", "p04", "p05"]


def test_a_shard_without_columns_is_merged() -> None:
    """An empty shard that names neither spaces nor labels takes nothing from the others."""
    full = _shard([(1, 0.5, 0.5, "x")])
    assert _rows(merged([common_pb2.Candidates(), full], 10)) == _rows(full)
    bare = common_pb2.Candidates()
    bare.CopyFrom(full)
    bare.product_ids[0] = "p99"
    del bare.labels[:]
    assert _rows(merged([full, bare], 10))[1][3] is None


def _looks(product_id: str) -> list[float]:
    return [float(product_id[1:]), 0.5, -1.0]


@given(
    st.lists(st.lists(_ROW, max_size=12), min_size=1, max_size=4),
    st.integers(1, 30),
    st.integers(1, 12),
    st.booleans(),
)
def test_vectors_go_with_their_candidates(
    shards: list[list[tuple[int, float, float | None, str]]], limit: int, count: int, is_one_old: bool
) -> None:
    """The first so many keep the vectors that came with them; one that came without any has NaN."""
    made = [_shard(rows) for rows in shards]
    for shard in made[int(is_one_old) :]:
        first = [_looks(product_id) for product_id in shard.product_ids[:count]]
        shard.vectors.CopyFrom(
            common_pb2.CandidateVectors(space="clip", dimension=3, rows=np.array(first, "<f2").tobytes())
        )
    found = merged(made, limit, vectors_limit=count)
    if not any(shard.HasField("vectors") for shard in made):
        assert not found.HasField("vectors")
        return
    assert (found.vectors.space, found.vectors.dimension) == ("clip", 3)
    rows = np.frombuffer(found.vectors.rows, "<f2").reshape(-1, 3)
    assert len(rows) == min(count, len(found.product_ids))
    plain = {
        product_id for shard in made if not shard.HasField("vectors") for product_id in shard.product_ids
    }
    for product_id, row in zip(found.product_ids, rows, strict=False):
        if product_id not in plain:
            assert row.tolist() == _looks(product_id)
        else:
            assert np.isnan(row).all() or row.tolist() == _looks(product_id)


def test_facets_add_up() -> None:
    """Counts of one value add up over shards; the most frequent come first, ties by value."""

    def facet(**counts: int) -> common_pb2.Facet:
        return common_pb2.Facet(
            attribute="colour",
            values=[
                common_pb2.FacetValue(value=common_pb2.AttributeValue(text=text), count=count)
                for text, count in counts.items()
            ],
        )

    [colour, size] = merged_facets([[facet(red=1, blue=2)], [facet(green=3, red=2)]], ["colour", "size"])
    assert [(each.value.text, each.count) for each in colour.values] == [
        ("red", 3),
        ("green", 3),
        ("blue", 2),
    ] or [(each.value.text, each.count) for each in colour.values] == [("green", 3), ("red", 3), ("blue", 2)]
    assert not size.values


_PRICES = st.lists(
    st.one_of(st.sampled_from([0.0, 10.0, 15.0, 49.99, 50.0, -3.0]), st.floats(-1e3, 1e3)), max_size=3
)


@given(st.lists(st.lists(_PRICES, max_size=6), min_size=1, max_size=4))
def test_ranges_of_shards_add_up_to_those_of_all(shards: list[list[list[float]]]) -> None:
    """However products are spread over shards, numbers are counted as if all were in one."""

    def facet(products: list[list[float]]) -> common_pb2.Facet:
        column = Column()
        for slot, prices in enumerate(products):
            column.put(slot, prices)
        ranges = column.ranges(np.ones(len(products), np.bool_))
        return common_pb2.Facet(
            attribute="price",
            ranges=[common_pb2.FacetRange(min=low, max=high, count=count) for low, high, count in ranges],
        )

    [merged] = merged_facets([[facet(products)] for products in shards], ["price"])
    assert merged == facet([prices for products in shards for prices in products])
