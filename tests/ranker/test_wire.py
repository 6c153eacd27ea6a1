from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from services.mesh import vectors
from services.mesh.errors import InvalidArgument
from services.mesh.vectors import Floats
from services.ranker import wire
from services.ranker.arrangement import Arrangement, Cap
from services.ranker.semantics import Library
from services.ranker.server import RankerServicer
from tests.ranker.columns import DIGEST, axis, write_semantics
from vitrine.v1 import common_pb2, ranker_pb2, vectorsearch_pb2

NO_CONTEXT = cast(Any, None)
LOOKS = np.array([[1, 0], [1, 0.125], [0, 1], [0, 1]], np.float32)


def _vector(space: str, vector: Floats, digest: str = DIGEST) -> common_pb2.Vector:
    return vectors.encode(vector, space=space, model_digest=digest)


def _photo(*given: common_pb2.Vector) -> vectorsearch_pb2.PhotoVectors:
    return vectorsearch_pb2.PhotoVectors(vectors=given)


def _request(**fields: Any) -> ranker_pb2.RankRequest:
    """Four candidates in two groups, the first two of which look alike."""
    return ranker_pb2.RankRequest(
        candidates=common_pb2.Candidates(
            product_ids=["a", "b", "c", "d"],
            photo_ids=["front"] * 4,
            spaces=[
                common_pb2.SpaceScores(
                    space="clip", neutral=0.4, cosines=np.array([0.9, 0.8, 0.7, 0.6], "<f4").tobytes()
                )
            ],
            labels=[
                common_pb2.LabelColumn(
                    name="colour",
                    values=["red", "blue"],
                    codes=np.array([0, 1, 0, 1], "<i2").tobytes(),
                    probabilities=np.ones(4, "<f4").tobytes(),
                )
            ],
            vectors=common_pb2.CandidateVectors(
                space="clip", dimension=2, rows=LOOKS.astype("<f2").tobytes()
            ),
        ),
        profile=common_pb2.Profile(name="clip", weights={"visual.clip": 1.0}),
        limit=4,
        **fields,
    )


async def _ranked(tmp_path: Path, request: ranker_pb2.RankRequest) -> list[str]:
    response = await RankerServicer(Library(tmp_path)).Rank(request, NO_CONTEXT)
    assert not response.degraded
    return [request.candidates.product_ids[hit.index] for hit in response.ranked]


async def test_an_arrangement_reaches_the_order(tmp_path: Path) -> None:
    """The threshold, the cap on groups and variety do what they say, alone and together, page by page."""
    assert await _ranked(tmp_path, _request()) == ["a", "b", "c", "d"]
    assert await _ranked(tmp_path, _request(max_shortfall=0.35)) == ["a", "b", "c"]
    group_by = vectorsearch_pb2.GroupBy(attribute="colour", size=1)
    assert await _ranked(tmp_path, _request(group_by=group_by)) == ["a", "b"]
    assert await _ranked(tmp_path, _request(diversity=0.5)) == ["a", "c", "b", "d"]
    assert await _ranked(tmp_path, _request(diversity=0.5, offset=2)) == ["b", "d"]
    assert await _ranked(tmp_path, _request(diversity=0.5, max_shortfall=0.25)) == ["a", "b"]
    after = ranker_pb2.RankCursor(score=0.9, product_id="a")
    assert await _ranked(tmp_path, _request(group_by=group_by, after=after)) == ["b"]


async def test_variety_without_vectors_is_degraded(tmp_path: Path) -> None:
    """Neither no vectors nor empty ones can be told apart: the order is by score, and that is said."""
    for rows in (None, np.full((4, 2), np.nan, "<f2").tobytes()):
        request = _request(diversity=0.5)
        request.candidates.ClearField("vectors")
        if rows is not None:
            request.candidates.vectors.CopyFrom(
                common_pb2.CandidateVectors(space="clip", dimension=2, rows=rows)
            )
        response = await RankerServicer(Library(tmp_path)).Rank(request, NO_CONTEXT)
        assert list(response.degraded) == ["diversity"]
        assert [hit.index for hit in response.ranked] == [0, 1, 2, 3]


def test_what_is_asked_is_read() -> None:
    """Absent fields ask for nothing; vectors may be of the first few candidates alone."""
    found = wire.read_candidates(_request().candidates)
    assert wire.read_arrangement(_request(), found) == Arrangement()
    group_by = vectorsearch_pb2.GroupBy(attribute="colour", size=2)
    wanted = wire.read_arrangement(_request(max_shortfall=0.0, group_by=group_by), found)
    assert (wanted.max_shortfall, wanted.cap, wanted.variety) == (0.0, Cap("colour", 2), None)
    request = _request(diversity=0.25)
    request.candidates.vectors.rows = request.candidates.vectors.rows[:12]
    variety = wire.read_arrangement(request, found).variety
    assert variety is not None
    assert variety.vectors is not None
    assert variety.diversity == 0.25
    assert np.array_equal(variety.vectors, LOOKS[:3])


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: setattr(r, "max_shortfall", np.nan), "max_shortfall"),
        (lambda r: setattr(r, "diversity", -0.1), "diversity"),
        (lambda r: setattr(r, "diversity", 1.1), "diversity"),
        (lambda r: setattr(r, "diversity", np.nan), "diversity"),
        (lambda r: setattr(r.group_by, "attribute", "size"), "group_by.attribute"),
        (lambda r: setattr(r.group_by, "size", 0), "group_by.size"),
        (lambda r: setattr(r.group_by, "size", 101), "group_by.size"),
        (lambda r: setattr(r, "offset", -1), "offset"),
        (lambda r: setattr(r, "offset", 1001), "offset"),
        (lambda r: r.ClearField("diversity"), "offset"),
        (lambda r: setattr(r.after, "score", 0.5), "after"),
        (lambda r: setattr(r.candidates.vectors, "dimension", 0), "candidates.vectors.dimension"),
        (lambda r: setattr(r.candidates.vectors, "dimension", 9000), "candidates.vectors.dimension"),
        (lambda r: setattr(r.candidates.vectors, "rows", b"123"), "candidates.vectors.rows"),
        (lambda r: setattr(r.candidates.vectors, "rows", bytes(20)), "candidates.vectors.rows"),
        (
            lambda r: setattr(r.candidates.vectors, "rows", np.full(8, np.inf, "<f2").tobytes()),
            "candidates.vectors.rows",
        ),
    ],
)
async def test_an_arrangement_that_makes_no_sense_is_refused(
    tmp_path: Path, spoil: Callable[[ranker_pb2.RankRequest], object], field: str
) -> None:
    """Every limit is checked, and the field at fault is named."""
    group_by = vectorsearch_pb2.GroupBy(attribute="colour", size=1)
    request = _request(diversity=0.5, offset=1, group_by=group_by)
    spoil(request)
    with pytest.raises(InvalidArgument) as refused:
        await RankerServicer(Library(tmp_path)).Rank(request, NO_CONTEXT)
    assert refused.value.field == field


async def test_photos_are_classified_by_all_that_is_known_of_them(tmp_path: Path) -> None:
    """Photos come with several spaces; one without a vector where the prompts are has no labels."""
    write_semantics(tmp_path)
    other = _vector("resnet50", np.ones(3, np.float32), "other")
    request = ranker_pb2.ClassifyRequest(
        photos=[
            _photo(other, _vector("clip", axis("Girls"))),
            _photo(other),
            _photo(_vector("clip", axis("toys"))),
        ]
    )
    servicer = RankerServicer(Library(tmp_path))
    girls, nothing, toys = (await servicer.Classify(request, NO_CONTEXT)).classifications
    assert {label.name: label.value for label in girls.labels}["gender"] == "Girls"
    assert not nothing.labels
    assert {label.name: label.value for label in toys.labels}["category"] == "toys"
    del request.photos[2], request.photos[0]
    assert not (await servicer.Classify(request, NO_CONTEXT)).classifications[0].labels


_ONE = _vector("clip", np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "vectors"),
        ({"photos": [_photo(_ONE)], "vectors": [_ONE]}, "vectors"),
        ({"photos": [_photo(_ONE)] * 257}, "photos"),
        (
            {"photos": [_photo(*(_vector(f"s{n}", np.ones(2, np.float32)) for n in range(9)))]},
            "photos[0].vectors",
        ),
        ({"photos": [_photo(_ONE, _ONE)]}, "photos[0].vectors[1].space"),
        ({"photos": [_photo(_vector("", np.ones(2, np.float32)))]}, "photos[0].vectors[0].space"),
        ({"photos": [_photo(_vector("clip", np.full(2, np.nan, np.float32)))]}, "photos[0].vectors[0].data"),
        (
            {"photos": [_photo(_ONE), _photo(_vector("clip", np.ones(3, np.float32)))]},
            "photos[1].vectors.data",
        ),
        (
            {"photos": [_photo(_ONE), _photo(_vector("clip", np.ones(2, np.float32), "x"))]},
            "photos[1].vectors.model_digest",
        ),
    ],
)
async def test_photos_that_make_no_sense_are_refused(
    tmp_path: Path, fields: dict[str, Any], field: str
) -> None:
    """None, too many, both kinds at once, a space twice, unequal or broken: the field at fault is named."""
    with pytest.raises(InvalidArgument) as refused:
        await RankerServicer(Library(tmp_path)).Classify(ranker_pb2.ClassifyRequest(**fields), NO_CONTEXT)
    assert refused.value.field == field


def test_the_query_photo_is_read_in_all_its_spaces() -> None:
    """What comes as `clip_vector` counts as its vector in that space, and no space comes twice."""
    clip, other = _vector("clip", axis("Men")), _vector("resnet50", np.ones(3, np.float32), "other")
    assert not wire.read_query_photo(ranker_pb2.RankQuery()).vectors
    for query in (
        ranker_pb2.RankQuery(photo_vectors=[clip, other]),
        ranker_pb2.RankQuery(photo_vectors=[other], clip_vector=clip),
        ranker_pb2.RankQuery(photo_vectors=[clip, other], clip_vector=clip),
    ):
        photo = wire.read_query_photo(query)
        assert photo.digests == {"clip": DIGEST, "resnet50": "other"}
        assert np.array_equal(photo.vectors["clip"], axis("Men"))
    for wrong in ([clip, clip], [clip] * 9):
        with pytest.raises(InvalidArgument) as refused:
            wire.read_query_photo(ranker_pb2.RankQuery(photo_vectors=wrong))
        assert refused.value.field.startswith("query.photo_vectors")
