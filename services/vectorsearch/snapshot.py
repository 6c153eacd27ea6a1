"""Snapshots on disk, for quick starts. The change log is the truth: a lost snapshot costs time, never data.

Each snapshot is a directory `snapshot-<number>` of raw arrays, and `manifest.json`, which is renamed into
place last and names every file with its size and checksum, and has a checksum of its own. A directory
without a manifest, or with any byte that differs, is torn; the newest whole one counts. The two newest are
kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from services.vectorsearch.rows import FrozenRows
from services.vectorsearch.shard import FrozenShard

_log = structlog.get_logger()

FORMAT = 1
MANIFEST = "manifest.json"

_KEPT = 2


class Torn(Exception):
    """A snapshot that cannot be trusted."""


class SnapshotStore:
    """The snapshots of one shard of so many under one directory; nobody else writes there."""

    def __init__(self, directory: Path, *, shard: int, shards: int) -> None:
        self._directory = directory
        self._owner = {"shard": shard, "shards": shards}

    def save(self, frozen: FrozenShard) -> Path:
        """Write a snapshot, its directory, and remove old ones. Raises OSError when the disk refuses."""
        numbers = [number for number, _ in self._snapshots()]
        directory = self._directory / f"snapshot-{max(numbers, default=0) + 1:012d}"
        directory.mkdir(parents=True)
        catalogs = []
        for number, (catalog, generation, rows) in enumerate(frozen.catalogs):
            files = {}
            for place, (name, array) in enumerate(rows.arrays.items()):
                files[name] = _write_array(directory / f"{number}-{place}.bin", array)
            catalogs.append({"catalog": catalog, "generation": generation, "meta": rows.meta, "files": files})
        body = {"format": FORMAT, **self._owner, "revision": frozen.revision, "catalogs": catalogs}
        text = json.dumps(body, separators=(",", ":")).encode()
        _write(directory / f"{MANIFEST}.part", _digest(text).encode() + b"\n" + text)
        (directory / f"{MANIFEST}.part").rename(directory / MANIFEST)
        _sync_directory(directory)
        _sync_directory(self._directory)
        self._remove_old()
        return directory

    def load(self) -> FrozenShard | None:
        """The newest whole snapshot of this shard, or None."""
        for _, directory in sorted(self._snapshots(), reverse=True):
            try:
                return self._read(directory)
            except Torn as problem:
                _log.warning("snapshot passed over", directory=directory.name, problem=str(problem))
        return None

    def _snapshots(self) -> Iterator[tuple[int, Path]]:
        for directory in self._directory.glob("snapshot-*"):
            number = directory.name.removeprefix("snapshot-")
            if number.isdecimal():
                yield int(number), directory

    def _remove_old(self) -> None:
        whole = [(number, path) for number, path in sorted(self._snapshots()) if (path / MANIFEST).exists()]
        kept = {path for _, path in whole[-_KEPT:]}
        for _, directory in self._snapshots():
            if directory not in kept:
                shutil.rmtree(directory)

    def _read(self, directory: Path) -> FrozenShard:
        body = _read_manifest(directory / MANIFEST)
        if body["format"] != FORMAT:
            raise Torn(f"format {body['format']} instead of {FORMAT}")
        if {key: body[key] for key in self._owner} != self._owner:
            raise Torn(f"of shard {body['shard']} of {body['shards']}")
        catalogs = []
        for entry in body["catalogs"]:
            arrays = {name: _read_array(directory, file) for name, file in entry["files"].items()}
            catalogs.append((entry["catalog"], entry["generation"], FrozenRows(entry["meta"], arrays)))
        return FrozenShard(body["revision"], catalogs)


def _write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    _write(path, data)
    return {
        "file": path.name,
        "dtype": array.dtype.str,
        "shape": array.shape,
        "size": data.nbytes,
        "digest": _digest(data),
    }


def _read_array(directory: Path, file: dict[str, Any]) -> npt.NDArray[Any]:
    try:
        data = (directory / file["file"]).read_bytes()
    except OSError as error:
        raise Torn(str(error)) from error
    if len(data) != file["size"] or _digest(data) != file["digest"]:
        raise Torn(f"{file['file']} differs from its checksum")
    return np.frombuffer(data, dtype=file["dtype"]).reshape(file["shape"])


def _read_manifest(path: Path) -> Any:
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise Torn(str(error)) from error
    if _digest(text).encode() != digest:
        raise Torn(f"{path.name} differs from its checksum")
    return json.loads(text)


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _write(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
