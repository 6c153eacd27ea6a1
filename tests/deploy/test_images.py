from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.embedder import weights
from services.embedder.models import model_cards
from services.mesh.registries import sha256
from services.trainer.seen import Seen
from tests.deploy.cases import CASES
from tests.deploy.charts import ROOT, render
from tests.deploy.conftest import Counts
from tests.deploy.containers import PREFIX, environment, loaded, main_container, service

DOCKERFILE = ROOT / "deploy/images/Dockerfile"
TARGETS = {
    "gateway", "ranker", "embedder-cpu", "embedder-cuda", "vectorsearch-cpu", "vectorsearch-cuda", "trainer",
    "models",
}  # fmt: skip
SERVICES = {"gateway", "ranker", "embedder-cpu", "embedder-cuda", "vectorsearch-cpu", "vectorsearch-cuda"}
# What compiles, and what would bring it.
_COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|cmake|make|build-essential|rustc|cargo|nvcc|[\w-]+-dev(el)?)\b")


@dataclass
class Stage:
    """A stage of the Dockerfile: what it is built on, and its instructions in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        """The arguments of the last instruction of a kind; empty where there is none."""
        return next((rest for name, rest in reversed(self.instructions) if name == word), "")

    def environment(self) -> dict[str, str]:
        """What its own ENV instructions set."""
        words = [word for name, rest in self.instructions if name == "ENV" for word in shlex.split(rest)]
        return dict(word.split("=", 1) for word in words)


def stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, with `ARG` values put in where they have one."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage: Stage | None = None
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments.setdefault(name, value)
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            for argument, value in arguments.items():
                base = base.replace(f"${{{argument}}}", value)
            stage = found[name] = Stage(base)
        else:
            assert stage is not None, line
            stage.instructions.append((word, rest.strip()))
    return found


STAGES = stages(DOCKERFILE.read_text(encoding="utf-8"))


def _hadolint(path: Path) -> list[str]:
    ended = subprocess.run(
        [
            Path(sys.executable).with_name("hadolint"),
            "--failure-threshold",
            "style",
            "--format",
            "json",
            path,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [f"{each['line']}: {each['code']} {each['message']}" for each in json.loads(ended.stdout)]


def test_hadolint_finds_nothing(counts: Counts) -> None:
    """The Dockerfile is clean down to matters of style."""
    assert _hadolint(DOCKERFILE) == []
    counts.add("dockerfiles")


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    """An unpinned base and a forgotten cleaning are told, so the check above can fail."""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM debian\nRUN apt-get update && apt-get install gcc\n")
    assert {"DL3006", "DL3008"} <= {line.split()[1] for line in _hadolint(wrong)}


def test_there_is_an_image_for_each_part_of_the_chart() -> None:
    """Every image that the chart names is a target of the Dockerfile."""
    assert STAGES.keys() >= TARGETS
    named = {
        container["image"].rpartition("/")[2].partition(":")[0].partition("@")[0]
        for values in CASES.values()
        for pod in render(values).pods()
        for container in pod.all_containers
        if "vitrine/" in container["image"]
    }
    assert named <= TARGETS
    assert named >= {"gateway", "ranker", "embedder-cpu", "embedder-cuda", "vectorsearch-cpu", "models"}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_images_are_pinned_and_hold_no_compiler(target: str) -> None:
    """Every stage below an image is of a base with a digest, and nothing that compiles is installed in it."""
    stage = STAGES[target]
    lineage = [stage]
    while stage.base in STAGES:
        stage = STAGES[stage.base]
        lineage.append(stage)
    assert re.search(r"@sha256:[0-9a-f]{64}$", stage.base), stage.base
    assert ":latest" not in stage.base
    for each in lineage:
        for word, rest in each.instructions:
            assert word not in {"ADD", "MAINTAINER"}
            assert word != "RUN" or not _COMPILERS.search(rest), rest
            assert word != "COPY" or "/opt/tools" not in rest, rest


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_images_run_as_nobody_in_particular(target: str) -> None:
    """The user is a number that is not root's, which is what `runAsNonRoot` can check."""
    assert STAGES[target].last("USER") == "10001:10001"


@pytest.mark.parametrize("target", sorted(SERVICES))
def test_images_start_their_service(target: str) -> None:
    """The entry point is the service itself, as an exec form that hears SIGTERM."""
    name = target.partition("-")[0]
    assert json.loads(STAGES[target].last("ENTRYPOINT")) == ["python", "-m", f"services.{name}"]
    ports = STAGES[target].last("EXPOSE").split()
    assert len(set(ports)) == len(ports)
    assert len(ports) >= 3


@pytest.mark.parametrize("target", sorted(SERVICES))
def test_images_and_chart_tell_services_what_they_know(target: str) -> None:
    """The variables of an image are settings of its service, also together with those of the chart."""
    own = {name: value for name, value in STAGES[target].environment().items() if name.startswith(PREFIX)}
    assert own
    loaded(target.partition("-")[0], own, [])
    for values in CASES.values():
        release = render(values)
        for pod in release.pods():
            container = main_container(pod)
            if service(pod) and f"vitrine/{target}:" in container["image"]:
                loaded(pod.component, own | environment(container, release), [])


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_images_keep_nothing_of_how_they_were_built(target: str) -> None:
    """Secrets and caches are shown to stages that install alone, and all is installed by hashed pins."""
    stage = STAGES[target]
    while True:
        for word, rest in stage.instructions:
            assert word != "RUN" or "--mount" not in rest, rest
            assert word != "RUN" or "install.sh" not in rest, rest
        if stage.base not in STAGES:
            break
        stage = STAGES[stage.base]
    script = (DOCKERFILE.parent / "install.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    installing = [
        line
        for line in script.splitlines()
        if re.search(r"\binstall .*--requirements? |\binstall .*-r ", line)
    ]
    assert len(installing) >= 3
    assert all("--require-hashes" in line for line in installing)


@pytest.mark.parametrize("target", sorted(SERVICES))
def test_a_release_changes_one_layer(target: str) -> None:
    """Packages come into an image before the project does, so that a new release leaves them as they are."""
    copied = [rest.split()[0] for word, rest in STAGES[target].instructions if word == "COPY"]
    assert copied == [f"--from={target}-packages", "--from=project"]


def _heads(own: Path) -> None:
    script = DOCKERFILE.parent / "install.sh"
    subprocess.run(["sh", script, "heads", weights.HEADS_DIR, own], check=True, timeout=60)


def test_the_image_of_models_has_the_heads(tmp_path: Path) -> None:
    """What embedders take from a models directory is all there: an older image brings older models back."""
    checked = STAGES["weights-checked"].instructions
    assert ("COPY", "services/embedder/heads /heads") in checked
    assert any("./install.sh heads /heads /models/heads" in rest for word, rest in checked if word == "RUN")
    _heads(tmp_path / "heads")
    for shipped in weights.HEADS_DIR.glob("*.safetensors"):
        found = weights.head(tmp_path, shipped.name)
        assert found.parent == tmp_path / "heads"
        assert found.read_bytes() == shipped.read_bytes()
        # What is known of their training lies beside them.
        digest = sha256(found)
        assert model_cards.of_head("triplet-resnet50", found, digest) == model_cards.of_head(
            "triplet-resnet50", shipped, digest
        )
    assert Seen.by(tmp_path) is not None


def test_heads_of_a_models_directory_stay(tmp_path: Path) -> None:
    """Heads that somebody has trained are not replaced; what others were trained on is then not known."""
    own = tmp_path / "heads"
    own.mkdir()
    (own / "triplet.safetensors").write_bytes(b"own")
    (own / "seen.npy").write_bytes(b"own")
    _heads(own)
    assert (own / "triplet.safetensors").read_bytes() == b"own"
    assert {path.name for path in own.glob("*.safetensors")} == {
        path.name for path in weights.HEADS_DIR.glob("*.safetensors")
    }
    assert Seen.by(tmp_path) is None
    (own / "seen.npy").write_bytes(b"of all")
    _heads(own)
    assert (own / "seen.npy").read_bytes() == b"of all"


@pytest.mark.parametrize("name", ["gateway", "ranker"])
def test_light_services_have_no_heavy_packages(name: str) -> None:
    """The gateway and the ranker come without torch, FAISS and what serves GPUs."""
    pins = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(torch|faiss|nvidia|triton)", pins, re.MULTILINE)
    assert re.search(r"^grpcio==", pins, re.MULTILINE)


def test_builders_see_what_they_are_shown() -> None:
    """The context has nothing but what is named, so that no secret of a working tree is ever in it."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {"!vitrine", "!services", "!requirements/*.txt"} <= set(rules)
