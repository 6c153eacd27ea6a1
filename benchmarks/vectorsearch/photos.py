"""Real photos of catalogues and their vectors, embedded once and kept beside the models.

`python -m benchmarks.vectorsearch.photos CATALOGUES` embeds what is not there yet and prints where it lies.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.vectorsearch.kept import SPACES, Kept
from services.embedder import towers
from services.embedder.engine import Engine
from services.embedder.images import Pixels, decode
from services.mesh.errors import InvalidArgument
from services.mesh.models_dir import models_dir_default

_TABLE = "products.csv"
_IMAGES = "images"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_NAMES = "photos.txt"
# Raised when the same photos and models would give other files.
_FORMAT = 1
# Photos that a thread decodes and embeds before it tells.
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class _Photo:
    """One photo: `name` is `CATALOGUE/FILE`, `holder` its folder or zip, `member` its path there."""

    name: str
    holder: Path
    member: str


def embed(catalogues: Path, models_dir: Path) -> Kept:
    """The vectors of all photos in `catalogues` by the models of `models_dir`.

    Those that were embedded before are found again; else a bar on stderr tells how far it is.

    `catalogues` holds folders of `products.csv` and `images/`, and folders with a zip of these. Raises
    SystemExit where there is no photo, FailedPrecondition where a model lacks its weights. Photos that cannot
    be read are left out.
    """
    photos = _photos(catalogues)
    if not photos:
        raise SystemExit(f"bench: no catalogue with photos in {catalogues}")
    kept = Kept(_folder(photos, models_dir))
    if not kept.folder.is_dir():
        kept.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.folder.parent) as scratch:
            _write(photos, Engine(models_dir), Path(scratch))
            # Renamed into place as a whole: what is found under the name is complete.
            Path(scratch).rename(kept.folder)
    return kept


def _photos(catalogues: Path) -> list[_Photo]:
    return [
        photo for folder in sorted(catalogues.iterdir()) if folder.is_dir() for photo in _catalogue(folder)
    ]


def _catalogue(folder: Path) -> Iterator[_Photo]:
    if (folder / _TABLE).is_file():
        for path in sorted((folder / _IMAGES).iterdir()):
            if path.suffix.lower() in _SUFFIXES:
                yield _Photo(f"{folder.name}/{path.name}", folder, f"{_IMAGES}/{path.name}")
        return
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            members = sorted(PurePosixPath(name) for name in file.namelist())
        for member in members:
            if member.parts[0] == _IMAGES and member.suffix.lower() in _SUFFIXES:
                yield _Photo(f"{folder.name}/{member.name}", archive, str(member))


def _folder(photos: Sequence[_Photo], models_dir: Path) -> Path:
    """Where the vectors of these photos by these models belong."""
    digests = {space.name: space.digest for space in towers.survey(models_dir)}
    key = hashlib.sha256(f"{_FORMAT}".encode())
    for word in [*(f"{space}@{digests[space]}" for space in SPACES), *(photo.name for photo in photos)]:
        key.update(f"\n{word}".encode())
    return models_dir.parent / "vectors" / key.hexdigest()[:16]


def _write(photos: Sequence[_Photo], engine: Engine, folder: Path) -> None:
    chunks = [photos[start : start + _CHUNK] for start in range(0, len(photos), _CHUNK)]
    reader = _Reader(engine.image_size)
    names: list[str] = []
    parts: dict[str, list[npt.NDArray[np.float32]]] = {space: [] for space in SPACES}

    def work(chunk: Sequence[_Photo]) -> tuple[list[str], dict[str, npt.NDArray[np.float32]]]:
        read = [(photo.name, pixels) for photo in chunk if (pixels := reader.pixels(photo)) is not None]
        if not read:
            return [], {}
        return [name for name, _ in read], engine.embed_images([pixels for _, pixels in read], SPACES)

    columns = (TextColumn("embedding photos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as bar,
        # The engine is at its fastest with as many passes at once as it says.
        ThreadPoolExecutor(engine.passes) as pool,
    ):
        task = bar.add_task("", total=len(photos))
        for chunk, (found, vectors) in zip(chunks, pool.map(work, chunks), strict=True):
            names += found
            for space, part in vectors.items():
                parts[space].append(part)
            bar.advance(task, len(chunk))
    for space, all_parts in parts.items():
        np.save(folder / f"{space}.npy", np.concatenate(all_parts))
    (folder / _NAMES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


class _Reader:
    """Decodes photos, out of folders and out of zips, which stay open. For any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._opening = threading.Lock()

    def pixels(self, photo: _Photo) -> Pixels | None:
        """The photo as the models want it, or None where it cannot be read."""
        if photo.holder.is_dir():
            data = (photo.holder / photo.member).read_bytes()
        else:
            with self._opening:
                if photo.holder not in self._archives:
                    self._archives[photo.holder] = zipfile.ZipFile(photo.holder)
            data = self._archives[photo.holder].read(photo.member)
        try:
            return decode(data, self._size)
        except InvalidArgument:
            return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Embed the photos of catalogues once.")
    parser.add_argument("catalogues", type=Path)
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    arguments = parser.parse_args()
    print(embed(arguments.catalogues, arguments.models_dir).folder)
    sys.stdout.flush()
