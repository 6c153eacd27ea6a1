from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.images import Pixels
from services.embedder.towers import Space
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.trainer import weighing
from services.trainer.answers import Answers
from services.trainer.evaluation import catalogue, embedding, measurement
from services.trainer.evaluation.catalogue import Catalogue
from services.trainer.evaluation.document import MAIN
from services.trainer.evaluation.embedding import Models, Vectors
from services.trainer.evaluation.ranking import Profile
from services.trainer.seen import Seen
from services.trainer.splits import share_of
from services.trainer.weighing import Choices, Weighing
from tests.embedder.engines import MeanColourEngine
from vitrine.catalogs.folder import CatalogFolder

HAND_SET = Profile(
    "similar",
    {
        "visual.clip": 0.5,
        "visual.triplet": 0.5,
        "semantic.gender": 0.2,
        "semantic.type": 0.05,
        "known.gender": 1.0,
        "text.match": 0.15,
    },
)
HAND_SET_OF_TWO_EYES = Profile("similar", {"visual.colour": 0.5, "visual.noise": 0.5, "semantic.colour": 0.1})
TERMS = ("visual.clip", "visual.triplet", "semantic.gender")


SPACES = (
    Space("colour", "mean", 3, accepts_text=False, digest="c0"),
    Space("noise", "none", 8, accepts_text=False, digest="00"),
)


class TwoEyes(MeanColourEngine):
    """Sees mean colours in one space, and in another nothing but noise."""

    image_size = 64

    def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
        seeds = [zlib.crc32(np.ascontiguousarray(image).tobytes()) for image in images]
        noise = np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds]).astype(np.float32)
        found = super().embed_images(images, [name for name in names if name == "colour"])
        if "noise" in names:
            found["noise"] = noise / np.linalg.norm(noise, axis=1, keepdims=True)
        return found


Weigh = Callable[..., Weighing]
MakeShop = Callable[[Catalogue], weighing._Shop]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(SPACES, TwoEyes)


@pytest.fixture(scope="module")
def weigh(drawn: Catalogue, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Weigh:
    """Fits weights on the drawn catalogue, by `Choices` given by name: what is alike is of one colour."""
    cache = tmp_path_factory.mktemp("weighing")

    def run(
        seen: Seen | None = None, profile: str = "similar", alike: tuple[str, ...] = ("colour",), **more: Any
    ) -> Weighing:
        return weighing.weigh(
            drawn,
            models,
            models_dir=cache,
            cache=cache,
            seen=seen,
            choices=Choices(profile, alike, **more),
            begin=lambda what, total: lambda done: None,
        )

    return run


@pytest.fixture(scope="module")
def drawn(drawn_catalog: Path) -> Catalogue:
    return catalogue.read(CatalogFolder(drawn_catalog))


@pytest.fixture
def make_shop(models: Models, tmp_path: Path) -> MakeShop:
    """A catalogue, its vectors and the ranker."""

    def make(products: Catalogue) -> weighing._Shop:
        keys = embedding.digests(products.photos)
        embedded = embedding.embed_photos(products.photos, keys, models, tmp_path, lambda done: None)
        return weighing._Shop(products, embedded, models, tmp_path)

    return make


@pytest.fixture(scope="module")
def weighed(weigh: Weigh) -> Weighing:
    return weigh()


def chosen(weights: Mapping[str, float], *, queries: int = 400, seed: int = 0) -> Answers:
    """Answers that shoppers who weigh terms so take for right: two to a query, one of each kind."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(queries, 2, len(TERMS)))
    wanted = np.array([weights[term] for term in TERMS])
    gaps = (values[:, 0] - values[:, 1]) @ wanted
    first = random.random(queries) < 1 / (1 + np.exp(-gaps))
    values -= values.mean(axis=1, keepdims=True)
    return Answers(
        TERMS,
        values.reshape(-1, len(TERMS)),
        np.stack([first, ~first], axis=1).ravel(),
        np.repeat(np.arange(queries), 2),
    )


def test_the_weights_that_made_the_choices_are_found() -> None:
    """Up to the unit, in which visual weights add up to 1."""
    found = weighing.fit(
        HAND_SET,
        chosen({"visual.clip": 3.0, "visual.triplet": 1.0, "semantic.gender": 2.0}, queries=40_000),
    )
    assert found.weights["visual.clip"] == pytest.approx(0.75, rel=0.05)
    assert found.weights["visual.triplet"] == pytest.approx(0.25, rel=0.1)
    assert found.weights["semantic.gender"] == pytest.approx(0.5, rel=0.05)


def test_a_term_that_would_weigh_less_than_nothing_is_left_out() -> None:
    """The others weigh what they would have weighed had it never been there."""
    answers = chosen({"visual.clip": 2.0, "visual.triplet": -1.0, "semantic.gender": 1.0}, queries=4_000)
    without = Answers(
        ("visual.clip", "semantic.gender"), answers.values[:, [0, 2]], answers.right, answers.queries
    )
    found = weighing.fit(HAND_SET, answers)
    assert "visual.triplet" not in found.weights
    assert found.weights == pytest.approx(weighing.fit(HAND_SET, without).weights)
    assert found.weights["visual.clip"] == 1


def test_what_no_answer_tells_of_keeps_its_weight() -> None:
    """What is known of a query, and a term that no photo of this catalogue has."""
    found = weighing.fit(HAND_SET, chosen(dict.fromkeys(TERMS, 1.0)))
    kept = ("semantic.type", "known.gender", "text.match")
    assert {term: found.weights[term] for term in kept} == {term: HAND_SET.weights[term] for term in kept}


def test_terms_that_tell_everything_have_finite_weights() -> None:
    """Answers that a term parts without a mistake do not send it to infinity."""
    values = np.zeros((40, 3))
    values[:, 0], values[:, 2] = np.tile([0.01, -0.01], 20), np.tile([0.5, -0.5], 20)
    answers = Answers(TERMS, values, np.tile([True, False], 20), np.repeat(np.arange(20), 2))
    # Both tell the same, so each has half of the say: fifty times the weight for a fiftieth of the spread.
    assert weighing.fit(HAND_SET, answers).weights["semantic.gender"] == pytest.approx(1 / 50, rel=1e-3)


@given(st.tuples(*[st.floats(-3, 3, allow_nan=False)] * 3), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_fitted_weights_are_weights(wanted: Sequence[float], queries: int, seed: int) -> None:
    """Whatever was chosen: none is below 0, and the visual ones add up to 1, or there is nothing to fit."""
    answers = chosen(dict(zip(TERMS, wanted, strict=True)), queries=queries, seed=seed)
    try:
        weights = weighing.fit(HAND_SET, answers).weights
    except FailedPrecondition as error:
        assert error.reason == "NOTHING_TO_FIT"
        return
    assert min(weights.values()) > 0
    assert sum(weight for term, weight in weights.items() if term in TERMS[:2]) == pytest.approx(1)


def test_without_answers_there_is_nothing_to_fit() -> None:
    """Nor where only what is no look tells right from wrong."""
    nobody = chosen(dict.fromkeys(TERMS, 1.0)).of(np.zeros(400, dtype=np.bool_))
    with pytest.raises(FailedPrecondition, match="nothing to fit"):
        weighing.fit(HAND_SET, nobody)
    blind = chosen({"visual.clip": -2.0, "visual.triplet": -2.0, "semantic.gender": 1.0})
    with pytest.raises(FailedPrecondition, match="nothing to fit"):
        weighing.fit(HAND_SET, blind)


def test_a_space_of_noise_loses_its_weight(weighed: Weighing) -> None:
    """Colours tell colours: their space takes the weight, and photos not fitted on are answered better."""
    assert weighed.hand_set.weights["visual.noise"] > 0.4
    assert weighed.fitted.weights.get("visual.noise", 0.0) < 0.1
    assert weighed.figures["colour_at_10"].difference.low > 0
    assert {"visual.colour", "visual.noise", "semantic.colour"} <= set(weighed.terms)


def test_figures_by_hand_are_those_of_an_evaluation(
    weighed: Weighing, models: Models, drawn: Catalogue, tmp_path: Path
) -> None:
    """The same queries, exclusions and rankings."""
    evaluation = measurement.evaluate(
        drawn,
        models,
        models_dir=tmp_path,
        cache=tmp_path,
        seen=None,
        choices=measurement.Choices(),
        begin=lambda what, total: lambda done: None,
    )
    similar = evaluation.named("profiles.")[0]
    assert set(weighed.figures) == set(MAIN)
    for name, each in weighed.figures.items():
        assert each.hand_set.value == pytest.approx(np.mean(similar.photos[name]))


def test_photos_are_judged_by_the_weights_of_the_other_half(
    weigh: Weigh, make_shop: MakeShop, drawn: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No photo has a say in the weights that it is asked with."""
    is_first = np.array([share_of("weights", product.product_id) < 0.5 for product in drawn.products])
    colour, noise = (Profile("similar", {f"visual.{space.name}": 1.0}) for space in SPACES)

    def fit(hand_set: Profile, answers: Answers) -> Profile:
        return colour if is_first[answers.queries].all() else noise

    # Weights that could not differ more, so that a mistake cannot hide.
    monkeypatch.setattr(weighing, "fit", fit)
    found = weigh()
    assert found.halves == (colour, noise)
    shop, everyone = make_shop(drawn), np.arange(len(drawn.products))
    by_colour, by_noise = (
        shop.figures(profile, everyone, lambda done: None)["colour_at_10"] for profile in (colour, noise)
    )
    expected = np.where(is_first, by_noise, by_colour).mean()
    assert found.figures["colour_at_10"].fitted.value == pytest.approx(expected)


def test_right_answers_are_alike_in_every_label(make_shop: MakeShop, drawn: Catalogue) -> None:
    """In the shop's words, for a query of which it states them; no answer shows the query's own picture."""
    copied, *others = drawn.products
    products = [copied, replace(copied, product_id=f"{copied.product_id}-again")]
    # Two that nobody knows the colour of are not of one colour.
    products += [replace(product, labels={"gender": "Women"}) for product in others[:2]] + others[2:]
    shop = make_shop(Catalogue(tuple(products)))
    alike, everyone = ("gender", "colour"), np.arange(len(products))
    answers = list(shop.candidates(HAND_SET_OF_TWO_EYES, everyone, alike, lambda done: None))
    assert len(answers) == len(products)
    for query, (measured, right) in zip(products, answers, strict=True):
        wanted = [query.labels.get(label) for label in alike]
        labels = [products[place].labels for place in measured.products.tolist()]
        assert right.tolist() == [
            None not in wanted and [its.get(label) for label in alike] == wanted for its in labels
        ]
    assert [len(right) for _, right in answers[:3]] == [len(products) - 2] * 2 + [len(products) - 1]
    assert answers[0][1].any()


def test_the_same_seed_fits_the_same_weights(weigh: Weigh, weighed: Weighing) -> None:
    """Another one draws other answers, and so fits others."""
    assert weigh().fitted == weighed.fitted
    assert weigh(seed=1).fitted != weighed.fitted


def test_it_is_told_where_weights_may_be_too_good(weigh: Weigh, drawn_catalog: Path) -> None:
    """Photos that models were trained on, or may have been, and a ranker without its artefact."""
    photos = sorted((drawn_catalog / "images").iterdir())
    trained, missing = weigh(Seen.of(embedding.digests(photos[:10]))).warnings
    assert "trained on 10 of these 72 photos" in trained
    assert "no labels are inferred" in missing
    assert "not known" in weigh(None).warnings[0]
    assert len(weigh(Seen.of([])).warnings) == 1


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"profile": "colour"}, "no profile 'colour', there are similar, same_style"),
        ({"alike": ("colour", "price")}, "no label 'price', there are gender"),
        ({"alike": ()}, "wanted some of gender"),
    ],
)
def test_what_is_asked_wrongly_is_told(weigh: Weigh, choices: dict[str, Any], message: str) -> None:
    """Before anything is embedded."""
    with pytest.raises(InvalidArgument, match=message):
        weigh(**choices)
