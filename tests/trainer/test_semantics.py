from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from services.embedder.engine import Vectors
from services.embedder.towers import Space
from services.mesh.errors import FailedPrecondition
from services.ranker.photos import Photo
from services.ranker.semantics import Semantics, read
from services.trainer import semantics
from services.trainer.probe_lesson import Probe

PROMPTS = {"gender": {"Men": ["men"], "Women": ["women", "ladies"]}, "category": {"Shoes": ["shoes"]}}


class Letters:
    """Stands in for the engine: a text's vector counts its letters."""

    spaces = (
        Space("resnet50", "r", 3, accepts_text=False),
        Space("clip", "c", 26, accepts_text=True, digest="abc"),
    )

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_texts(self, texts: Sequence[str], spaces: Sequence[str]) -> dict[str, Vectors]:
        self.embedded += texts
        counts = np.array(
            [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts], np.float32
        )
        return {"clip": counts / np.linalg.norm(counts, axis=1, keepdims=True)}

    def softmax_scale(self, space: str) -> float:
        return 20.0


def test_the_artefact_holds_every_task(tmp_path: Path) -> None:
    """Labels, unit vectors, biases and the scale of each task lie under the digest of the clip model."""
    path = semantics.prepare(Letters(), PROMPTS, tmp_path)
    assert path == tmp_path / "semantics" / "abc.npz"
    with np.load(path) as stored:
        assert stored["gender.labels"].tolist() == ["Men", "Women"]
        assert stored["gender.matrix"].shape == (2, 26)
        assert stored["gender.matrix"].dtype == stored["gender.bias"].dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(stored["gender.matrix"], axis=1), 1, atol=1e-6)
        assert stored["gender.bias"].tolist() == [0, 0]
        assert float(stored["category.scale"]) == 20.0


def test_it_is_made_once(tmp_path: Path) -> None:
    """The same prompts are not embedded again, other prompts are."""
    engine = Letters()
    semantics.prepare(engine, PROMPTS, tmp_path)
    engine.embedded.clear()
    semantics.prepare(engine, PROMPTS, tmp_path)
    assert engine.embedded == []
    semantics.prepare(engine, {"category": {"Shoes": ["a shoe"]}}, tmp_path)
    assert engine.embedded == ["a shoe"]
    assert [file.name for file in (tmp_path / "semantics").iterdir()] == ["abc.npz"]


INPUTS = {"resnet50": ("r0", 6), "clip": ("abc", 26)}
WORDS = {
    "gender": ["Boys", "Men", "Women", "Martians"],
    "type": ["Casual Shoes", "Heels", "Shirts", "Things"],
}
TEMPERATURE = 0.8


def write_probes(path: Path, *, hidden_dim: int = 5, seed: int = 0) -> Mapping[str, Probe]:
    """A file of probes as the trainer exports it, and the probes."""
    torch.manual_seed(seed)
    dims = [dim for _, dim in INPUTS.values()]
    made = {
        task: Probe(dims, len(words), hidden_dim=hidden_dim, dropout=0.5).eval()
        for task, words in WORDS.items()
    }
    inputs = [{"space": space, "dim": dim, "digest": digest} for space, (digest, dim) in INPUTS.items()]
    tasks = {task: {"labels": words, "temperature": TEMPERATURE} for task, words in WORDS.items()}
    tensors = {
        f"{task}.{name}": tensor.half()
        for task, probe in made.items()
        for name, tensor in probe.tensors().items()
    }
    save_file(tensors, path, {"probes": json.dumps({"inputs": inputs, "tasks": tasks})})
    return made


def photo(seed: int) -> Photo:
    """Drawn vectors of the models that the probes were trained on."""
    random = np.random.default_rng(seed)
    vectors = {}
    for space, (_, dim) in INPUTS.items():
        drawn = random.normal(size=dim)
        vectors[space] = (drawn / np.linalg.norm(drawn)).astype(np.float32)
    return Photo(vectors, {space: digest for space, (digest, _) in INPUTS.items()})


@pytest.mark.parametrize("hidden_dim", [0, 5])
@pytest.mark.parametrize(
    ("word", "task", "meant"),
    [
        ("gender", "gender", ("Boys", "Men", "Women", "")),
        ("type", "category", ("footwear", "footwear", "topwear", "")),
    ],
)
def test_the_ranker_reads_the_probes_that_were_trained(
    tmp_path: Path, word: str, task: str, meant: tuple[str, ...], hidden_dim: int
) -> None:
    """Through both files they tell what torch tells, in the taxonomy's labels; a word may have none."""
    probe = write_probes(tmp_path / "probes.safetensors", hidden_dim=hidden_dim)[word]
    found = read(semantics.prepare(Letters(), PROMPTS, tmp_path, tmp_path / "probes.safetensors"))
    assert found.probes[task].labels == meant
    assert found.probes[task].inputs == (("resnet50", "r0"), ("clip", "abc"))
    for seed in range(5):
        vectors = photo(seed).vectors
        with torch.no_grad():
            scores = probe(torch.from_numpy(np.concatenate([vectors["resnet50"], vectors["clip"]])[None]))
        expected = dict.fromkeys(filter(None, meant), 0.0)
        for label, share in zip(meant, (scores / TEMPERATURE).softmax(dim=1)[0].tolist(), strict=True):
            if label:
                expected[label] += share
        assert found.distribution(task, photo(seed), field="x") == pytest.approx(expected, abs=1e-3)


def test_probes_of_other_models_leave_it_to_the_prompts(tmp_path: Path) -> None:
    """They are known by the digests of what they were trained on."""
    write_probes(tmp_path / "probes.safetensors")
    found = read(semantics.prepare(Letters(), PROMPTS, tmp_path, tmp_path / "probes.safetensors"))
    other = Photo(photo(0).vectors, {"resnet50": "r1", "clip": "abc"})
    assert found.distribution("gender", photo(0), field="x").keys() == {"Boys", "Men", "Women"}
    assert found.distribution("gender", other, field="x").keys() == PROMPTS["gender"].keys()


def test_the_artefact_follows_the_probes(tmp_path: Path) -> None:
    """It is made anew when they come, change and go, and kept while they stay."""
    probes, engine = tmp_path / "probes.safetensors", Letters()

    def prepared() -> tuple[bool, Semantics]:
        engine.embedded.clear()
        path = semantics.prepare(engine, PROMPTS, tmp_path, probes)
        return bool(engine.embedded), read(path)

    is_made, bare = prepared()
    assert (is_made, dict(bare.probes)) == (True, {})
    weights = []
    for seed in (0, 1):
        write_probes(probes, seed=seed)
        is_made, found = prepared()
        assert is_made
        assert not prepared()[0]
        weights.append(found.probes["gender"].layers[0][0])
    assert not np.array_equal(weights[0], weights[1])
    probes.unlink()
    is_made, bare = prepared()
    assert (is_made, dict(bare.probes)) == (True, {})


@pytest.mark.parametrize("has_metadata", [False, True])
def test_a_file_of_something_else_holds_no_probes(tmp_path: Path, has_metadata: bool) -> None:
    """A damaged file and another head are told, with the command that mends it."""
    path = tmp_path / "probes.safetensors"
    if has_metadata:
        save_file({"weight": torch.zeros(1)}, path, {"trunk": "0" * 64})
    else:
        path.write_bytes(b"torn")
    with pytest.raises(FailedPrecondition, match="vitrine train all") as caught:
        semantics.prepare(Letters(), PROMPTS, tmp_path, path)
    assert caught.value.reason == "WEIGHTS_MISSING"
