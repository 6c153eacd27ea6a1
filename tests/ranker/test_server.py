from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.mesh import vectors
from services.mesh.channel import call, connect
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.mesh.server import Host
from services.ranker import metrics, terms
from services.ranker.candidates import Candidates
from services.ranker.semantics import Library, Probe
from services.ranker.server import RankerServicer
from services.ranker.settings import RankerSettings
from tests.ranker.columns import DIGEST, add_probe, axis, candidates, column, write_semantics
from vitrine.v1 import common_pb2, ranker_pb2, ranker_pb2_grpc, vectorsearch_pb2

WEIGHTS = {
    "visual.resnet50": 0.5,
    "visual.clip": 0.5,
    terms.GENDER: 0.1,
    terms.CATEGORY: 0.1,
    terms.TEXT: 0.1,
}


@pytest.fixture
async def ranker(tmp_path: Path) -> AsyncIterator[ranker_pb2_grpc.RankerServiceAsyncStub]:
    """A ranker with prompts for `DIGEST`, on loopback."""
    write_semantics(tmp_path)
    metrics.declare()
    host = Host(RankerSettings(port=0, log_level="ERROR"), "ranker")
    servicer = RankerServicer(Library(tmp_path))
    host.add(
        ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
        lambda server: ranker_pb2_grpc.add_RankerServiceServicer_to_server(servicer, server),
    )
    port = await host.start()
    host.serving()
    async with connect(f"127.0.0.1:{port}") as channel:
        yield ranker_pb2_grpc.RankerServiceStub(channel)
    host.stop()
    await host.wait()


def _message(found: Candidates) -> common_pb2.Candidates:
    return common_pb2.Candidates(
        product_ids=found.product_ids,
        photo_ids=[f"{product}-1" for product in found.product_ids],
        spaces=[
            common_pb2.SpaceScores(
                space=space.name, neutral=space.neutral, cosines=space.cosines.astype("<f4").tobytes()
            )
            for space in found.spaces
        ],
        labels=[
            common_pb2.LabelColumn(
                name=name,
                values=labels.values,
                codes=labels.codes.astype("<i2").tobytes(),
                probabilities=labels.probabilities.astype("<f4").tobytes(),
            )
            for name, labels in found.labels.items()
        ],
    )


def _request() -> ranker_pb2.RankRequest:
    found = candidates(
        ["heels", "boots", "shirt", "watch"],
        {"resnet50": [0.8, 0.7, 0.9, np.nan], "clip": [0.8, 0.7, 0.9, 0.1]},
        {
            "gender": column("Women", "Men", ("Women", 0.9), None),
            "type": column("Heels", "Boots", "Shirts", "Watches"),
        },
    )
    return ranker_pb2.RankRequest(
        query=ranker_pb2.RankQuery(text="shoes for women"),
        candidates=_message(found),
        profile=common_pb2.Profile(name="similar", weights=WEIGHTS),
        limit=10,
        explain=True,
    )


async def test_a_search_is_ranked_and_explained(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """Hits come in order with terms that add up, drops with reasons, and what was understood of the query."""
    request = _request()
    response = await call(ranker.Rank, request, timeout_s=60)
    names = [request.candidates.product_ids[hit.index] for hit in response.ranked]
    assert names == ["heels", "shirt", "watch"]
    assert [(drop.product_id, drop.reason) for drop in response.dropped] == [
        ("boots", "is for Men, the query is for Women")
    ]
    assert response.dropped_count == 1
    for hit in response.ranked:
        assert sum(term.contribution for term in hit.terms) == pytest.approx(hit.score, abs=1e-6)
        assert [term.name for term in hit.terms] == [
            *("visual.clip", "visual.resnet50", "semantic.gender", "semantic.category", "text.match")
        ]
    watch = {term.name: term for term in response.ranked[2].terms}
    assert watch["visual.resnet50"].absent
    assert watch["visual.resnet50"].value == 0.4
    assert watch["semantic.gender"].absent
    assert [(label.name, label.value) for label in response.query_labels] == [
        ("gender", "Women"),
        ("category", "footwear"),
    ]
    assert response.best_possible_score == pytest.approx(1.3)
    assert not response.more
    assert list(response.degraded) == []


async def test_explanations_are_sent_only_when_asked(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """Without `explain` the terms and drops stay away, the count of drops does not."""
    request = _request()
    request.explain = False
    response = await call(ranker.Rank, request, timeout_s=60)
    assert all(not hit.terms for hit in response.ranked)
    assert (len(response.dropped), response.dropped_count) == (0, 1)


async def test_pages_follow_the_cursor(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """The page after a hit begins behind it, and the last page says so."""
    request = _request()
    full = await call(ranker.Rank, request, timeout_s=60)
    request.limit = 2
    first = await call(ranker.Rank, request, timeout_s=60)
    assert first.more
    last = first.ranked[-1]
    request.after.score = last.score
    request.after.product_id = request.candidates.product_ids[last.index]
    second = await call(ranker.Rank, request, timeout_s=60)
    assert not second.more
    assert [*first.ranked, *second.ranked] == list(full.ranked)


async def test_a_photo_is_understood_by_its_vector(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """A photo without words is understood by its vector and its neighbours; what is in doubt drops nobody."""
    request = _request()
    vector = (axis("Men") + np.float32(0.97) * axis("Women") + axis("watches")) / np.float32(3**0.5)
    request.query.CopyFrom(
        ranker_pb2.RankQuery(clip_vector=vectors.encode(vector, space="clip", model_digest=DIGEST))
    )
    response = await call(ranker.Rank, request, timeout_s=60)
    assert [(label.name, label.value) for label in response.query_labels] == [
        ("gender", "Men"),
        ("category", "watches"),
        ("type", "Shirts"),
    ]
    assert response.dropped_count == 0
    assert list(response.degraded) == []


async def test_a_model_without_prompts_degrades_the_order(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub,
) -> None:
    """A ranking goes on without what cannot be inferred and says so where that is needed."""
    before = REGISTRY.get_sample_value("vitrine_ranker_degraded_total", {"reason": "semantics"})
    request = _request()
    vector = vectors.encode(axis("Men"), space="clip", model_digest="unheard-of")
    request.query.CopyFrom(ranker_pb2.RankQuery(clip_vector=vector))
    response = await call(ranker.Rank, request, timeout_s=60)
    assert list(response.degraded) == ["semantics"]
    assert len(response.ranked) == 4
    after = REGISTRY.get_sample_value("vitrine_ranker_degraded_total", {"reason": "semantics"})
    assert before is not None
    assert after == before + 1
    request.profile.weights.clear()
    request.profile.weights["visual.clip"] = 1
    response = await call(ranker.Rank, request, timeout_s=60)
    assert list(response.degraded) == []


async def test_labels_that_come_with_a_query_are_certain(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub,
) -> None:
    """A label without a probability is stated, so it may drop; one with a doubt may not."""
    request = _request()
    request.query.CopyFrom(ranker_pb2.RankQuery(labels=[common_pb2.Label(name="gender", value="Men")]))
    stated = await call(ranker.Rank, request, timeout_s=60)
    assert stated.dropped_count == 1
    request.query.labels[0].probability = 0.9
    doubtful = await call(ranker.Rank, request, timeout_s=60)
    assert doubtful.dropped_count == 0


_Spoil = Callable[[ranker_pb2.RankRequest], object]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: setattr(r, "limit", 0), "limit"),
        (lambda r: setattr(r, "limit", 1001), "limit"),
        (lambda r: r.candidates.product_ids.append("heels"), "candidates.product_ids"),
        (lambda r: r.candidates.product_ids.extend(map(str, range(1000))), "candidates.product_ids"),
        (lambda r: r.candidates.photo_ids.append("x"), "candidates.photo_ids"),
        (lambda r: setattr(r.candidates.spaces[1], "cosines", b"123"), "candidates.spaces[1].cosines"),
        (
            lambda r: setattr(r.candidates.spaces[0], "cosines", np.full(4, np.inf, "<f4").tobytes()),
            "candidates.spaces[0].cosines",
        ),
        (lambda r: setattr(r.candidates.spaces[0], "neutral", np.nan), "candidates.spaces[0].neutral"),
        (lambda r: setattr(r.candidates.spaces[1], "space", "resnet50"), "candidates.spaces"),
        (lambda r: r.candidates.spaces.extend([r.candidates.spaces[0]] * 8), "candidates.spaces"),
        (lambda r: setattr(r.candidates.labels[0], "codes", b"1"), "candidates.labels[0].codes"),
        (
            lambda r: setattr(r.candidates.labels[0], "codes", np.full(4, 9, "<i2").tobytes()),
            "candidates.labels[0].codes",
        ),
        (
            lambda r: setattr(r.candidates.labels[0], "probabilities", b""),
            "candidates.labels[0].probabilities",
        ),
        (
            lambda r: setattr(r.candidates.labels[1], "probabilities", np.full(4, np.nan, "<f4").tobytes()),
            "candidates.labels[1].probabilities",
        ),
        (lambda r: r.candidates.labels[0].values.append("x" * 257), "candidates.labels[0].values"),
        (lambda r: r.candidates.labels[0].values.extend(["x"] * 2**15), "candidates.labels[0].values"),
        (lambda r: setattr(r.candidates.labels[1], "name", "gender"), "candidates.labels"),
        (lambda r: r.candidates.labels.extend([r.candidates.labels[0]] * 16), "candidates.labels"),
        (lambda r: r.profile.weights.clear(), "profile.weights"),
        (lambda r: r.profile.weights.update({"magic": 1.0}), "profile.weights"),
        (lambda r: r.profile.weights.update({"text.match": -1.0}), "profile.weights"),
        (lambda r: r.profile.weights.update({"text.match": np.nan}), "profile.weights"),
        (lambda r: setattr(r.after, "score", np.inf), "after.score"),
        (lambda r: setattr(r.query, "text", "x" * 8001), "query.text"),
        (lambda r: r.query.labels.add(name="gender", probability=1.5), "query.labels[0].probability"),
        (lambda r: r.query.labels.add(name="gender", value="x" * 257), "query.labels[0].value"),
        (lambda r: r.query.labels.extend([common_pb2.Label()] * 65), "query.labels"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, spoil: _Spoil, field: str
) -> None:
    """Every limit and every column is checked, and the field at fault is named."""
    request = _request()
    spoil(request)
    with pytest.raises(InvalidArgument) as caught:
        await call(ranker.Rank, request, timeout_s=60)
    assert caught.value.field == field


async def test_a_query_vector_of_another_dimension_is_refused(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub,
) -> None:
    """The prompts of a model fit its vectors alone, whichever field they come in: that one is named."""
    request = _request()
    resnet50 = vectors.encode(_RESNET50, space="resnet50", model_digest=_TRUNK)
    vector, strange = _vector(1.0, 1.0, 1.0), _vector(1.0, digest="../x")
    for query, field in (
        (ranker_pb2.RankQuery(clip_vector=vector), "query.clip_vector"),
        (ranker_pb2.RankQuery(clip_vector=strange), "query.clip_vector.model_digest"),
        (ranker_pb2.RankQuery(photo_vectors=[resnet50, vector]), "query.photo_vectors[1]"),
        (ranker_pb2.RankQuery(photo_vectors=[strange]), "query.photo_vectors[0].model_digest"),
        (ranker_pb2.RankQuery(photo_vectors=[vector], clip_vector=vector), "query.clip_vector"),
    ):
        request.query.CopyFrom(query)
        with pytest.raises(InvalidArgument) as caught:
            await call(ranker.Rank, request, timeout_s=60)
        assert caught.value.field == field


async def test_photos_are_classified(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """Each vector gets a label a task, in order."""
    both = [vectors.encode(axis(label), space="clip", model_digest=DIGEST) for label in ("Girls", "toys")]
    response = await call(ranker.Classify, ranker_pb2.ClassifyRequest(vectors=both), timeout_s=60)
    girls, toys = ({label.name: label for label in found.labels} for found in response.classifications)
    assert set(girls) == set(toys) == {"gender", "category"}
    assert girls["gender"].value == "Girls"
    assert toys["category"].value == "toys"
    assert 0.9 < girls["gender"].probability < 1


async def test_photos_of_a_model_without_prompts_are_not_classified(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub,
) -> None:
    """The reason is for programs: SEMANTICS_MISSING."""
    vector = vectors.encode(axis("Men"), space="clip", model_digest="unheard-of")
    with pytest.raises(FailedPrecondition) as caught:
        await call(ranker.Classify, ranker_pb2.ClassifyRequest(vectors=[vector]), timeout_s=60)
    assert caught.value.reason == "SEMANTICS_MISSING"


def _vector(*numbers: float, digest: str = DIGEST) -> common_pb2.Vector:
    return vectors.encode(np.array(numbers, dtype=np.float32), space="clip", model_digest=digest)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ([], "vectors"),
        ([_vector(1.0)] * 257, "vectors"),
        ([_vector(1.0)], "vectors[0]"),
        ([_vector(1.0), _vector(1.0, 2.0)], "vectors[1].data"),
        ([_vector(1.0), _vector(np.nan)], "vectors[1].data"),
        ([_vector(1.0), _vector(1.0, digest="other")], "vectors[1].model_digest"),
        ([_vector(1.0, digest="../x")], "vectors[0].model_digest"),
    ],
)
async def test_vectors_that_make_no_sense_are_refused(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, sent: list[common_pb2.Vector], field: str
) -> None:
    """None, too many, unequal, broken: the vector at fault is named."""
    with pytest.raises(InvalidArgument) as caught:
        await call(ranker.Classify, ranker_pb2.ClassifyRequest(vectors=sent), timeout_s=60)
    assert caught.value.field == field


def _photo_request() -> ranker_pb2.RankRequest:
    """A photo in two spaces, the nearest neighbours of which are shirts for men."""
    found = candidates(
        ["blouse", "jeans", "polo", "shirt", "sweater"],
        {"resnet50": [0.5, 0.3, 0.8, 0.9, 0.7], "clip": [0.6, 0.2, 0.7, 0.9, np.nan]},
        {
            "gender": column("Women", "Men", "Men", "Men", "Unisex"),
            "category": column("Topwear", "Bottomwear", "Topwear", "Topwear", "Topwear"),
            "type": column("Blouses", "Jeans", "Polos", "Shirts", ("Sweaters", 0.7)),
        },
    )
    semantic = {terms.GENDER: 0.2, terms.CATEGORY: 0.2, terms.TYPE: 0.1}
    return ranker_pb2.RankRequest(
        query=ranker_pb2.RankQuery(
            clip_vector=vectors.encode(axis("Women"), space="clip", model_digest=DIGEST),
            photo_vectors=[vectors.encode(_RESNET50, space="resnet50", model_digest=_TRUNK)],
        ),
        candidates=_message(found),
        profile=common_pb2.Profile(name="similar", weights=WEIGHTS | semantic),
        limit=10,
        explain=True,
    )


_TRUNK = "cd" * 32
_RESNET50 = np.array([1, 0, 0], dtype=np.float32)


def _reader(dimension: int) -> Probe:
    """A probe that reads the gender off the first number in `resnet50`, and is nearly sure."""
    weight = np.zeros((2, 3 + dimension), dtype=np.float32)
    weight[0, 0] = 8
    return Probe(
        inputs=(("resnet50", _TRUNK), ("clip", DIGEST)),
        labels=("Men", "Women"),
        layers=((weight, np.zeros(2, dtype=np.float32)),),
        temperature=1.0,
    )


async def test_a_photo_in_all_its_spaces_is_understood_by_its_probe(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, tmp_path: Path
) -> None:
    """The probe tells against the prompts where all its spaces came, and what it is sure of drops."""
    add_probe(tmp_path, "gender", _reader(len(axis("Men"))))
    request = _photo_request()
    response = await call(ranker.Rank, request, timeout_s=60)
    assert {label.name: label.value for label in response.query_labels} == {
        "gender": "Men",
        "category": "Topwear",
        "type": "Shirts",
    }
    assert all(label.probability < 1 for label in response.query_labels)
    assert [(drop.product_id, drop.reason) for drop in response.dropped] == [
        ("blouse", "is for Women, the query looks for Men")
    ]
    names = [request.candidates.product_ids[hit.index] for hit in response.ranked]
    assert names == ["shirt", "polo", "sweater", "jeans"]
    for hit in response.ranked:
        assert {"semantic.gender", "semantic.category", "semantic.type"} < {term.name for term in hit.terms}
        assert sum(term.contribution for term in hit.terms) == pytest.approx(hit.score, abs=1e-6)
        assert hit.score <= response.best_possible_score + 1e-6
    assert list(response.degraded) == []
    sweater = {term.name: term for term in response.ranked[2].terms}
    assert sweater["semantic.type"].absent
    assert not sweater["semantic.gender"].absent


async def test_prompts_tell_where_the_probe_does_not_fit(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, tmp_path: Path
) -> None:
    """Without one of its spaces, or with another model's vector there, the probe has no say."""
    add_probe(tmp_path, "gender", _reader(len(axis("Men"))))
    missing, other = _photo_request(), _photo_request()
    del missing.query.photo_vectors[:]
    other.query.photo_vectors[0].model_digest = DIGEST
    for request in (missing, other):
        # Nobody is near, so that the model alone decides.
        del request.candidates.labels[:]
        response = await call(ranker.Rank, request, timeout_s=60)
        told = {label.name: label.value for label in response.query_labels}
        assert told["gender"] == "Women"
        assert response.dropped_count == 0


async def test_photos_are_classified_by_probes(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, tmp_path: Path
) -> None:
    """At write time too the probe tells of photos that have all its spaces, the prompts of the others."""
    add_probe(tmp_path, "gender", _reader(len(axis("Men"))))
    clip = vectors.encode(axis("Women"), space="clip", model_digest=DIGEST)
    resnet50 = vectors.encode(_RESNET50, space="resnet50", model_digest=_TRUNK)
    girls = vectors.encode(axis("Girls"), space="clip", model_digest=DIGEST)
    sent = [[clip, resnet50], [resnet50], [girls], [girls, resnet50], [clip]]
    request = ranker_pb2.ClassifyRequest(
        photos=[vectorsearch_pb2.PhotoVectors(vectors=photo) for photo in sent]
    )
    response = await call(ranker.Classify, request, timeout_s=60)
    genders = [
        next((label.value for label in found.labels if label.name == "gender"), None)
        for found in response.classifications
    ]
    assert genders == ["Men", None, "Girls", "Men", "Women"]
    two = _vector(1.0, 2.0)
    request = ranker_pb2.ClassifyRequest(
        photos=[vectorsearch_pb2.PhotoVectors(vectors=photo) for photo in ([resnet50], [two], [two])]
    )
    with pytest.raises(InvalidArgument) as caught:
        await call(ranker.Classify, request, timeout_s=60)
    assert caught.value.field == "photos[1]"


async def test_neighbours_are_asked_only_about_a_photo(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub,
) -> None:
    """A text without a photo has no neighbours, and a profile that infers nothing asks none."""
    request = _photo_request()
    request.query.CopyFrom(ranker_pb2.RankQuery(text="something for the rain"))
    response = await call(ranker.Rank, request, timeout_s=60)
    assert list(response.query_labels) == []
    request = _photo_request()
    request.profile.weights.clear()
    request.profile.weights.update({"visual.clip": 1.0, "known.gender": 1.0, "known.type": 1.0})
    response = await call(ranker.Rank, request, timeout_s=60)
    assert list(response.query_labels) == []
    assert response.dropped_count == 0


async def test_terms_and_drops_are_counted(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """Every series exists from the start; a ranking counts its drops by reason and its terms once each."""

    def counts() -> dict[str, float | None]:
        return {
            "dropped": REGISTRY.get_sample_value("vitrine_ranker_dropped_total", {"reason": "gender"}),
            "visual": REGISTRY.get_sample_value("vitrine_ranker_terms_total", {"term": "visual"}),
            "colour": REGISTRY.get_sample_value("vitrine_ranker_terms_total", {"term": "semantic.colour"}),
        }

    before = counts()
    await call(ranker.Rank, _request(), timeout_s=60)
    after = counts()
    grown = {
        name: (after[name] or 0) - before_count
        for name, before_count in before.items()
        if before_count is not None
    }
    assert grown == {"dropped": 1, "visual": 1, "colour": 0}


async def test_later_pages_are_scored_as_the_first(ranker: ranker_pb2_grpc.RankerServiceAsyncStub) -> None:
    """With the first page's beliefs a candidate has the same score, whatever has become of all others."""
    request = _request()
    request.query.ClearField("text")
    request.query.photo_vectors.append(vectors.encode(axis("Women"), space="clip", model_digest=DIGEST))
    request.profile.weights[terms.TYPE] = 0.3
    request.limit = 1
    first = await ranker.Rank(request)
    assert {belief.name for belief in first.beliefs if belief.voted} >= {"type"}
    request.limit = 4
    whole = {each.index: each.score for each in (await ranker.Rank(request)).ranked}
    changed = ranker_pb2.RankRequest()
    changed.CopyFrom(request)
    types = next(labels for labels in changed.candidates.labels if labels.name == "type")
    assert list(types.values) == ["Boots", "Heels", "Shirts", "Watches"]
    types.codes = np.array([1, 0, 1, 3], "<i2").tobytes()
    without = {each.index: each.score for each in (await ranker.Rank(changed)).ranked}
    assert without[0] != whole[0]
    changed.beliefs.extend(first.beliefs)
    page = {each.index: each.score for each in (await ranker.Rank(changed)).ranked}
    assert (page[0], page[3]) == (whole[0], whole[3])
    assert page[2] != whole[2]


@pytest.mark.parametrize(
    ("belief", "field"),
    [
        (ranker_pb2.RankBelief(name="size"), "beliefs[0].name"),
        (ranker_pb2.RankBelief(name="gender", source=9), "beliefs[0].source"),
        (ranker_pb2.RankBelief(name="gender", shares=[1.0]), "beliefs[0].shares"),
        (ranker_pb2.RankBelief(name="type", shares=[1.0]), "beliefs[0].shares"),
        (ranker_pb2.RankBelief(name="type", probability=2.0), "beliefs[0]"),
        (ranker_pb2.RankBelief(name="type", heard=float("nan")), "beliefs[0]"),
    ],
)
async def test_beliefs_that_are_none_are_refused(
    ranker: ranker_pb2_grpc.RankerServiceAsyncStub, belief: ranker_pb2.RankBelief, field: str
) -> None:
    """What no page can have handed on is INVALID_ARGUMENT with its field."""
    request = _request()
    request.beliefs.append(belief)
    with pytest.raises(InvalidArgument) as refused:
        await call(ranker.Rank, request, timeout_s=60)
    assert refused.value.field == field
