from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.ranker.photos import Photo
from services.ranker.semantics import MAX_PROBABILITY, Floats, Library, Probe, Task, read
from services.ranker.taxonomy import prompts as all_prompts
from tests.ranker.columns import DIGEST, add_probe, axis, random_probe, write_semantics

_OTHER = "cd" * 32
_GENDERS = tuple(all_prompts()["gender"])


def _photo(**vectors: Floats) -> Photo:
    """A photo of the model `DIGEST` in `clip`, and of another in other spaces."""
    return Photo(vectors, {space: DIGEST if space == "clip" else _OTHER for space in vectors})


def _told(probe: Probe, photo: Photo) -> dict[str, float]:
    """What a probe tells of one photo."""
    names, shares = probe.probabilities([photo])
    return dict(zip(names, shares[0].tolist(), strict=True))


def test_a_photo_gets_the_label_whose_prompts_it_is_closest_to(tmp_path: Path) -> None:
    """Each vector gets one label a task, and never the certainty that is kept for what a shop states."""
    write_semantics(tmp_path)
    prompts = Library(tmp_path).of(DIGEST, field="x")
    pairs = [axis("Men") + axis("bags"), axis("Girls") + axis("plants")]
    found = prompts.classify([_photo(clip=pair / np.float32(2**0.5)) for pair in pairs], field="photos")
    assert [(labels["gender"][0], labels["category"][0]) for labels in found] == [
        ("Men", "bags"),
        ("Girls", "plants"),
    ]
    assert all(0.9 < share <= MAX_PROBABILITY for labels in found for _, share in labels.values())


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), st.floats(0.1, 100))
def test_probabilities_are_a_softmax(vector: list[float], scale: float) -> None:
    """They are positive, add up to one, and are those of the formula."""
    rng = np.random.default_rng(0)
    task = Task(("a", "b", "c"), rng.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32), scale)
    query = np.array([vector], dtype=np.float32)
    shares = task.probabilities(query)
    logits = scale * (query.astype(np.float64) @ task.matrix.T.astype(np.float64))
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=1e-3)
    assert abs(float(shares.sum()) - 1) < 1e-5


def test_another_dimension_is_refused(tmp_path: Path) -> None:
    """A vector of another space is the caller's mistake, named by its field."""
    dimension = write_semantics(tmp_path)
    prompts = Library(tmp_path).of(DIGEST, field="x")
    assert prompts.dimension == dimension
    with pytest.raises(InvalidArgument) as caught:
        prompts.distribution("gender", _photo(clip=np.ones(3, dtype=np.float32)), field="query.clip_vector")
    assert caught.value.field == "query.clip_vector"


def test_missing_prompts_are_found_once_they_are_there(tmp_path: Path) -> None:
    """Without prompts the model cannot classify; a miss is not remembered."""
    library = Library(tmp_path)
    with pytest.raises(FailedPrecondition) as caught:
        library.of(DIGEST, field="x")
    assert caught.value.reason == "SEMANTICS_MISSING"
    write_semantics(tmp_path)
    assert set(library.of(DIGEST, field="x").tasks) == {"gender", "category"}


def test_a_broken_file_is_no_prompts(tmp_path: Path) -> None:
    """Neither a torn file nor one that lacks a task takes the service down."""
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    poor: dict[str, Any] = {"gender.labels": np.array(["Men"])}
    np.savez(tmp_path / "poor.npz", **poor)
    ragged: dict[str, Any] = {}
    for task in ("gender", "category"):
        ragged |= {f"{task}.{array}": np.ones(2) for array in ("labels", "bias", "scale")}
        ragged[f"{task}.matrix"] = np.ones((3, 4))
    np.savez(tmp_path / "ragged.npz", **ragged)
    unequal: dict[str, Any] = {}
    for task, dimension in (("gender", 3), ("category", 4)):
        unequal |= {f"{task}.{array}": np.ones(2) for array in ("labels", "bias")}
        unequal |= {f"{task}.matrix": np.ones((2, dimension)), f"{task}.scale": np.float32(1)}
    np.savez(tmp_path / "unequal.npz", **unequal)
    np.savez(tmp_path / "scales.npz", **(unequal | {"gender.scale": np.ones(2)}))
    for name in ("torn", "poor", "ragged", "unequal", "scales"):
        with pytest.raises(FailedPrecondition) as caught:
            read(tmp_path / f"{name}.npz")
        assert caught.value.reason == "SEMANTICS_MISSING"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Prompts with a probe, compressed as only some writers do."""
    folder = tmp_path_factory.mktemp("models")
    write_semantics(folder)
    path = add_probe(folder, "gender", random_probe({"clip": (DIGEST, 4)}, ["Men", "Women"], hidden=[3]))
    with np.load(path) as stored:
        arrays: dict[str, Any] = dict(stored)
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


@given(st.data())
def test_a_file_damaged_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, artefact: bytes, data: st.DataObject
) -> None:
    """Bytes that were changed or cut off are either of no account, or there are no prompts: nothing else."""
    damaged = bytearray(artefact)
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged)))) :]
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damaged)
    try:
        assert set(read(path).tasks) == {"gender", "category"}
    except FailedPrecondition as error:
        assert error.reason == "SEMANTICS_MISSING"


def test_prompts_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    """What was asked for least recently is read again; what is kept is the same object."""
    for digest in ("a", "b", "c"):
        write_semantics(tmp_path, digest)
    library = Library(tmp_path, limit=2)
    first, second = library.of("a", field="x"), library.of("b", field="x")
    assert library.of("a", field="x") is first
    library.of("c", field="x")
    assert library.of("a", field="x") is first
    assert library.of("b", field="x") is not second


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a/b", "a.b", "x" * 129])
def test_what_is_no_digest_opens_no_file(tmp_path: Path, digest: str) -> None:
    """A digest that could leave the models directory is refused."""
    with pytest.raises(InvalidArgument) as caught:
        Library(tmp_path).of(digest, field="vectors[0].model_digest")
    assert caught.value.field == "vectors[0].model_digest"


@pytest.mark.parametrize("hidden", [(), (5,), (5, 3)])
@given(st.integers(0, 2**32))
def test_a_probe_is_the_network_that_was_trained(hidden: tuple[int, ...], seed: int) -> None:
    """Linear layers with a GELU between them and a softmax at a temperature, as torch has them."""
    inputs = {"resnet50": (_OTHER, 6), "clip": (DIGEST, 4)}
    probe = random_probe(inputs, _GENDERS, hidden=hidden, seed=seed)
    rng = np.random.default_rng(seed)
    clip, resnet50 = (rng.normal(size=count).astype(np.float32) for count in (4, 6))
    photo = _photo(clip=clip, resnet50=resnet50)
    assert probe.fits(photo)
    names, found = probe.probabilities([photo, _photo(clip=-clip, resnet50=resnet50), photo])
    x = torch.from_numpy(np.concatenate([resnet50, clip]))
    for number, (weight, bias) in enumerate(probe.layers):
        x = F.gelu(x, approximate="tanh") if number else x
        x = F.linear(x, torch.from_numpy(weight), torch.from_numpy(bias))
    expected = F.softmax(x / probe.temperature, dim=0)
    assert names == _GENDERS
    assert found.shape == (3, len(_GENDERS))
    for row in (0, 2):
        assert found[row].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_outputs_of_one_label_add_up() -> None:
    """A label may have several scores, and what is of no label asked for is left out."""
    parts = random_probe({"clip": (DIGEST, 4)}, ["a", "b", "c", "d"])
    whole = replace(parts, labels=("Men", "", "Women", "Men"))
    photo = _photo(clip=np.array([1, -1, 0.5, 0], dtype=np.float32))
    shares = _told(parts, photo)
    assert _told(whole, photo) == pytest.approx({"Men": shares["a"] + shares["d"], "Women": shares["c"]})


def test_a_probe_serves_the_photos_that_it_fits(tmp_path: Path) -> None:
    """Where it was trained on the photo's models it tells, for its task alone; elsewhere prompts do."""
    dimension = write_semantics(tmp_path)
    inputs = {"clip": (DIGEST, dimension), "resnet50": (_OTHER, 3)}
    probe = random_probe(inputs, ["Women", "Men", "Women"], hidden=[8])
    add_probe(tmp_path, "gender", probe)
    found = Library(tmp_path).of(DIGEST, field="x")
    resnet50 = np.array([1, 2, 3], dtype=np.float32)
    fitting = _photo(clip=axis("Girls"), resnet50=resnet50)
    assert found.distribution("gender", fitting, field="x") == pytest.approx(_told(probe, fitting))
    assert set(found.distribution("category", fitting, field="x")) == set(all_prompts()["category"])
    label, share = found.classify([fitting], field="x")[0]["gender"]
    assert label in {"Men", "Women"}
    assert share == pytest.approx(min(max(_told(probe, fitting).values()), MAX_PROBABILITY))
    for other in (
        _photo(clip=axis("Girls")),
        _photo(clip=axis("Girls"), resnet50=np.ones(4, dtype=np.float32)),
        Photo(fitting.vectors, {"clip": DIGEST, "resnet50": DIGEST}),
        Photo(fitting.vectors, {"clip": _OTHER, "resnet50": _OTHER}),
    ):
        shares = found.distribution("gender", other, field="x")
        assert tuple(shares) == _GENDERS
        assert shares["Girls"] > 0.9


@given(st.lists(st.tuples(st.sampled_from(["both", "clip", "other"]), st.integers(0, 99)), max_size=12))
def test_a_batch_tells_what_single_photos_tell(mixed_models: Path, drawn: list[tuple[str, int]]) -> None:
    """Whichever photos fit the probe and whichever do not, each keeps its place and its labels."""
    semantics = Library(mixed_models).of(DIGEST, field="x")
    photos = []
    for kind, seed in drawn:
        rng = np.random.default_rng(seed)
        clip, resnet50 = (rng.normal(size=count).astype(np.float32) for count in (semantics.dimension, 3))
        clip /= np.linalg.norm(clip)
        both = _photo(clip=clip, resnet50=resnet50)
        other = Photo(both.vectors, {"clip": DIGEST, "resnet50": DIGEST})
        photos.append({"both": both, "clip": _photo(clip=clip), "other": other}[kind])
    batch = semantics.classify(photos, field="x")
    assert len(batch) == len(photos)
    for (kind, _), photo, found in zip(drawn, photos, batch, strict=True):
        (alone,) = semantics.classify([photo], field="x")
        assert (found["gender"][0] in _PROBED) == (kind == "both")
        assert set(found) == {"gender", "category"}
        for task, (label, share) in found.items():
            shares = semantics.distribution(task, photo, field="x")
            assert label == alone[task][0] == max(shares, key=lambda name: shares[name])
            likeliest = min(max(shares.values()), MAX_PROBABILITY)
            assert (share, alone[task][1]) == pytest.approx((likeliest, likeliest), abs=1e-5)


# Labels that no prompt has tell who spoke.
_PROBED = ("Ladies", "Gents")


@pytest.fixture(scope="module")
def mixed_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with prompts for both tasks and a probe for the gender in two spaces."""
    folder = tmp_path_factory.mktemp("mixed")
    dimension = write_semantics(folder)
    inputs = {"clip": (DIGEST, dimension), "resnet50": (_OTHER, 3)}
    add_probe(folder, "gender", random_probe(inputs, _PROBED, hidden=[8]))
    return folder


def test_no_photos_have_no_labels(tmp_path: Path) -> None:
    """An empty batch is an empty answer."""
    write_semantics(tmp_path)
    assert Library(tmp_path).of(DIGEST, field="x").classify([], field="x") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array(["Men"])},
        {"labels": np.array(["", ""])},
        {"labels": np.array([["Men", "Women"]])},
        {"spaces": np.array(["clip", "resnet50"])},
        {"spaces": np.array([], dtype=str), "digests": np.array([], dtype=str)},
        {"digests": np.array(5)},
        {"temperature": np.ones(2)},
        {"temperature": np.float32(0)},
        {"temperature": np.float32(-1)},
        {"temperature": np.float32(np.nan)},
        {"temperature": np.array("warm")},
        {"weight0": np.ones(12, np.float32)},
        {"weight1": np.ones((2, 4), np.float32)},
        {"weight1": np.full((2, 3), np.nan, np.float32)},
        {"weight1": np.full((2, 3), "heavy")},
        {"bias1": np.full(2, np.inf, np.float32)},
        {"bias1": np.ones(3, np.float32)},
        {"weight2": np.ones((2, 2), np.float32)},
        {"weight0": np.array([None])},
    ],
)
def test_a_damaged_probe_is_no_semantics(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whatever is wrong with one of its arrays is told when the file is read, not when a photo is ranked."""
    write_semantics(tmp_path)
    probe = random_probe({"clip": (DIGEST, 4)}, ["Men", "Women"], hidden=[3])
    assert read(add_probe(tmp_path, "gender", probe)).probes["gender"].inputs == (("clip", DIGEST),)
    with pytest.raises(FailedPrecondition) as caught:
        read(add_probe(tmp_path, "gender", probe, **changes))
    assert caught.value.reason == "SEMANTICS_MISSING"
