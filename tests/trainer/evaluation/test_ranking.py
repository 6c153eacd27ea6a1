from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.embedder.towers import Space
from services.ranker.semantics import MAX_PROBABILITY, Probe
from services.trainer.evaluation.catalogue import Catalogue
from services.trainer.evaluation.embedding import Vectors
from services.trainer.evaluation.ranking import Profile, Query, Ranker, is_accessory, is_footwear, profiles
from tests.ranker.columns import DIGEST, add_probe, axis, write_semantics
from tests.trainer.evaluation.shops import shop

SPACES = (Space("clip", "c", 0, accepts_text=True, digest=DIGEST),)
SHOP = shop({"gender": "Women"}, {"gender": "Men"}, {"gender": "Women"}, {}, photos=[1, 2, 1, 1])
NOBODY = np.empty(0, dtype=np.int64)


@pytest.fixture
def looks(tmp_path: Path) -> Vectors:
    """The products' first photos: what each one's gender looks like, the last one's too."""
    write_semantics(tmp_path)
    return np.stack([axis(label) for label in ("Women", "Men", "Women", "Men")])


def ranker(catalogue: Catalogue, looks: Vectors, models_dir: Path) -> Ranker:
    return Ranker(catalogue, {"clip": looks}, SPACES, models_dir)


def test_a_profile_weighs_the_spaces_there_are() -> None:
    """Visual weights of each profile add up to 1, whichever spaces a catalogue has."""
    spaces = ["resnet50", "clip", "unheard_of"]
    found = {profile.name: profile for profile in profiles(spaces)}
    assert list(found) == ["similar", "same_style"]
    for profile in found.values():
        assert sum(profile.visual(spaces).values()) == pytest.approx(1)
        assert profile.weights["semantic.gender"] > 0
    assert "semantic.colour" in found["similar"].weights.keys() - found["same_style"].weights.keys()


def test_a_profile_that_weighs_no_space_there_is_none() -> None:
    """Style without any space that tells it cannot be asked for."""
    assert [profile.name for profile in profiles(["colour"])] == ["similar"]


def test_a_window_holds_the_best_photo_of_each_product(looks: Vectors, tmp_path: Path) -> None:
    """In visual order without the excluded ones, each with its best photo's cosine."""
    cosines = {"clip": np.array([[0.1, 0.2, 0.9, 0.5, 0.3]], dtype=np.float32)}
    (window,) = ranker(SHOP, looks, tmp_path).windows(
        profiles(["clip"])[0], cosines, SHOP.first_photos, [np.array([2])]
    )
    assert window.products.tolist() == [1, 3, 0]
    assert window.spaces[0].cosines.tolist() == pytest.approx([0.9, 0.3, 0.1])


def test_stated_labels_reorder_and_drop(looks: Vectors, tmp_path: Path) -> None:
    """With a stated query men's things are dropped where the shop says so, and women's come first."""
    its = ranker(SHOP, looks, tmp_path)
    profile = profiles(["clip"])[0]
    cosines = {"clip": np.full((1, 5), 0.5, dtype=np.float32)}
    (window,) = its.windows(profile, cosines, SHOP.first_photos, [NOBODY])
    query = Query({"clip": axis("Women")}, stated={"gender": "Women"})
    ranked = its.rank(profile, query, window, masked=False)
    assert ranked.products.tolist() == [0, 2, 3]
    assert ranked.dropped.tolist() == [1]
    masked = its.rank(profile, query, window, masked=True)
    assert masked.products.tolist() == [0, 2, 1, 3]
    assert masked.dropped.tolist() == []


def test_terms_explain_the_score(looks: Vectors, tmp_path: Path) -> None:
    """What was believed is told, and contributions add up to the score."""
    its = ranker(SHOP, looks, tmp_path)
    profile = Profile("all", {"visual.clip": 1.0, "semantic.gender": 0.2})
    cosines = {"clip": np.array([[0.4, 0.1, 0.2, 0.9, 0.3]], dtype=np.float32)}
    (window,) = its.windows(profile, cosines, SHOP.first_photos, [NOBODY])
    explained = its.explain(profile, Query({"clip": axis("Men")}), window, masked=False, limit=2)
    assert explained.believed[0][:2] == ("gender", "Men")
    assert len(explained.hits) == 2
    for hit in explained.hits:
        assert sum(hit.terms.values()) == pytest.approx(hit.score, abs=1e-6)


class Trained:
    """A probe of `resnet50` that says whom a photo is for, where the prompts of `clip` always say `Girls`."""

    digest = "cd" * 32
    labels = ("Men", "Women", "Women")
    weight = np.array([[6, -6], [-6, 6], [-12, 0]], dtype=np.float32)
    axes = np.eye(2, dtype=np.float32)

    def __init__(self, models_dir: Path) -> None:
        write_semantics(models_dir)
        bias = np.zeros(len(self.labels), dtype=np.float32)
        layers = ((self.weight, bias),)
        add_probe(models_dir, "gender", Probe((("resnet50", self.digest),), self.labels, layers, 2.0))
        self.models_dir = models_dir

    def ranker(self, digest: str) -> Ranker:
        """Of a shop whose first product is for men by its looks, the second for women, both by `resnet50`."""
        spaces = (*SPACES, Space("resnet50", "r", 0, accepts_text=False, digest=digest))
        firsts = {"clip": np.stack([axis("Girls")] * 2), "resnet50": self.axes}
        return Ranker(shop({}, {}), firsts, spaces, self.models_dir)

    def query(self, resnet50: Vectors) -> Query:
        """A photo."""
        return Query({"clip": axis("Girls"), "resnet50": resnet50})


SEMANTIC = Profile("all", {"visual.clip": 1.0, "semantic.gender": 0.2})


def test_labels_come_from_the_probes_of_the_models(tmp_path: Path) -> None:
    """Of the products and of the query alike; a probe of another model is not asked, and prompts are."""
    trained = Trained(tmp_path)
    its = trained.ranker(trained.digest)
    cosines = {"clip": np.array([[0.5, 0.5]], dtype=np.float32)}
    (window,) = its.windows(SEMANTIC, cosines, np.arange(2), [NOBODY])
    for place, gender in enumerate(("Men", "Women")):
        query = trained.query(trained.axes[place])
        explained = its.explain(SEMANTIC, query, window, masked=True, limit=2)
        logits = trained.weight @ trained.axes[place] / 2.0
        shares = np.exp(logits) / np.exp(logits).sum()
        right = shares[[label == gender for label in trained.labels]].sum()
        ((name, told, probability),) = explained.believed
        assert (name, told) == ("gender", gender)
        assert probability == pytest.approx(min(right, MAX_PROBABILITY))
        assert explained.hits[0].product == place
        assert explained.hits[0].score > explained.hits[1].score

    other = trained.ranker("ef" * 32)
    explained = other.explain(SEMANTIC, trained.query(trained.axes[0]), window, masked=True, limit=2)
    assert [label[:2] for label in explained.believed] == [("gender", "Girls")]
    assert explained.hits[0].score == pytest.approx(explained.hits[1].score)


def test_neighbours_have_a_say_beside_the_probe(tmp_path: Path) -> None:
    """Where the probe is in two minds, what the shop states of the nearest decides; masked it is not seen."""
    trained = Trained(tmp_path)
    catalogue = shop({"gender": "Men"}, {"gender": "Women"}, {"gender": "Men"})
    spaces = (*SPACES, Space("resnet50", "r", 0, accepts_text=False, digest=trained.digest))
    unsure = np.array([0.5, 0.5], dtype=np.float32) ** 0.5
    firsts = {"clip": np.stack([axis("Girls")] * 3), "resnet50": np.stack([unsure] * 3)}
    its = Ranker(catalogue, firsts, spaces, tmp_path)
    nearest_woman = {"clip": np.array([[0.5, 0.9, 0.4]], dtype=np.float32)}
    nearest_man = {"clip": np.array([[0.9, 0.5, 0.4]], dtype=np.float32)}
    believed = {}
    for name, cosines in (("woman", nearest_woman), ("man", nearest_man)):
        (window,) = its.windows(SEMANTIC, cosines, np.arange(3), [NOBODY])
        for masked in (False, True):
            found = its.explain(SEMANTIC, trained.query(unsure), window, masked=masked, limit=3)
            ((_, *believed[name, masked]),) = found.believed
    assert believed["woman", False][0] == "Women"
    assert believed["man", False][0] == "Men"
    assert believed["woman", True] == believed["man", True]


def test_without_the_artefact_the_ranker_says_so(looks: Vectors, tmp_path: Path) -> None:
    """It ranks on without semantics, as the service does."""
    its = ranker(SHOP, looks, tmp_path / "nowhere")
    assert "no labels are inferred" in its.degraded
    assert "no labels are inferred" in Ranker(SHOP, {}, (), tmp_path).degraded
    cosines = {"clip": np.array([[0.4, 0.1, 0.2, 0.9, 0.3]], dtype=np.float32)}
    profile = profiles(["clip"])[0]
    (window,) = its.windows(profile, cosines, SHOP.first_photos, [NOBODY])
    ranked = its.rank(profile, Query({"clip": axis("Men")}), window, masked=True)
    assert ranked.products.tolist() == [2, 0, 3, 1]


def test_words_of_shops_have_families() -> None:
    """The type tells more than the category."""
    assert is_footwear("Shoes", "")
    assert is_footwear("Accessories", "Heels")
    assert is_accessory("", "Handbags")
    assert not is_accessory("Topwear", "Shirts")
