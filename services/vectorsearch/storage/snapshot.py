"""Snapshots on disk, for quick starts. The change log is the truth: a lost snapshot costs time, never data.

All lie in one directory, by number:

- `<number>-<place>.rows`: a full segment. Never changes, so later snapshots name it again;
- `<number>.state`: everything else;
- `<number>.manifest`: which files make up the snapshot and what is in them, with a checksum for every block,
  and before all that a checksum of its own. Renamed into place when all else would outlive a loss of power;
- `<number>.journal`: what was applied since, see `services.vectorsearch.storage.journal`.

A snapshot with a file that is missing or has any byte that differs is torn; the newest whole one counts. The
two newest are kept, with the journals since the older one. What they do not need is removed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import structlog
import xxhash

from services.vectorsearch.segment import Segment
from services.vectorsearch.shard import FrozenShard
from services.vectorsearch.storage import freezing, journal
from services.vectorsearch.storage.blocks import Arrays, StoredFile, Torn, map_arrays, write_arrays
from services.vectorsearch.storage.disk import Disk

_log = structlog.get_logger()

FORMAT = 2

ROWS = ".rows"
STATE = ".state"
MANIFEST = ".manifest"
_PART = ".part"

_OURS = re.compile(rf"(\d{{12}})(-\d+)?(\{ROWS}|\{STATE}|\{MANIFEST}|\{journal.SUFFIX})(\{_PART})?")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that is whole: its number, counted from 1, and the files that it names."""

    number: int
    files: frozenset[str]


# What a shard without any begins with.
NOTHING = Snapshot(0, frozenset())


class SnapshotStore:
    """The snapshots of one shard of so many in one directory; nobody else writes there."""

    def __init__(self, directory: Path, *, shard: int, shards: int, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self.owner = {"shard": shard, "shards": shards}
        # The newest, and the one before it.
        self._newest = NOTHING
        self._before = NOTHING
        # The file of each full segment that the newest snapshot has.
        self._stored: WeakKeyDictionary[Segment, StoredFile] = WeakKeyDictionary()

    def load(self) -> tuple[int, FrozenShard]:
        """The newest whole snapshot of this shard and its number; number 0 is of an empty shard."""
        numbers = sorted((number for number, path in self._ours() if path.suffix == MANIFEST), reverse=True)
        for place, number in enumerate(numbers):
            try:
                manifest = self._read_manifest(number)
                frozen = self._read(manifest)
            except Torn as problem:
                _log.warning("snapshot passed over", snapshot=number, problem=str(problem))
                continue
            self._newest = Snapshot(number, _files_of(manifest))
            self._before = self._readable(numbers[place + 1 :])
            return number, frozen
        return NOTHING.number, FrozenShard(0, [])

    def next_number(self) -> int:
        """A number that no file in the directory has, be it torn: none is ever written over."""
        return max((number for number, _ in self._ours()), default=0) + 1

    def journals(self, first: int) -> list[tuple[int, Path]]:
        """The journals there are from this number on, in order."""
        return sorted(
            (number, path)
            for number, path in self._ours()
            if path.suffix == journal.SUFFIX and number >= first
        )

    def path(self, number: int, suffix: str) -> Path:
        """Where a file is."""
        return self._directory / f"{number:012d}{suffix}"

    def save(self, number: int, frozen: FrozenShard) -> None:
        """Write a snapshot of a number that there is not yet, and remove what is needed no longer.

        Raises OSError when the disk refuses; all is as before then.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        made: list[Path] = []
        stored: dict[Segment, StoredFile] = {}
        try:
            manifest = self._write(number, frozen, made, stored)
        except OSError:
            self._remove(reversed(made))
            raise
        self._stored.update(stored)
        self._before, self._newest = self._newest, Snapshot(number, _files_of(manifest))
        self._remove_old()

    def forget(self) -> None:
        """Let there be no snapshot and no journal. Raises OSError; there may be some left then."""
        self._newest = self._before = NOTHING
        self._stored.clear()
        for _, path in self._ours():
            if path.suffix in {MANIFEST, journal.SUFFIX}:
                self._disk.remove(path)
        if self._directory.exists():
            self._disk.sync_directory(self._directory)

    def _write(
        self, number: int, frozen: FrozenShard, made: list[Path], stored: dict[Segment, StoredFile]
    ) -> dict[str, Any]:
        """Write all files, telling before each in `made`, and in `stored` the full segments; the manifest."""
        catalogs = []
        state: Arrays = {}
        for place, (catalog, generation, rows) in enumerate(frozen.catalogs):
            meta, arrays = freezing.arrays_of_rows(rows)
            segments = []
            for segment_place, segment in enumerate(rows.segments):
                arrays[f"{segment_place}.alive"] = segment.alive
                file = self._stored.get(segment.segment) if segment.full else None
                if segment.full and file is None:
                    made.append(self.path(number, f"-{len(stored)}{ROWS}"))
                    file = write_arrays(self._disk, made[-1], freezing.arrays_of_segment(segment))
                    stored[segment.segment] = file
                if file is None:
                    its_arrays = freezing.arrays_of_segment(segment)
                    arrays |= {f"{segment_place}.{name}": array for name, array in its_arrays.items()}
                segments.append(
                    {
                        "first_row": segment.segment.first_row,
                        "capacity": segment.segment.capacity,
                        "file": file and file.to_json(),
                    }
                )
            state |= {f"{place}.{name}": array for name, array in arrays.items()}
            catalogs.append(
                {"catalog": catalog, "generation": generation, "rows": meta, "segments": segments}
            )
        made.append(self.path(number, STATE))
        manifest = {
            "format": FORMAT,
            **self.owner,
            "number": number,
            "revision": frozen.revision,
            "catalogs": catalogs,
            "state": write_arrays(self._disk, made[-1], state).to_json(),
        }
        self._write_manifest(self.path(number, MANIFEST), manifest, made)
        return manifest

    def _write_manifest(self, path: Path, manifest: Mapping[str, Any], made: list[Path]) -> None:
        text = json.dumps(manifest, separators=(",", ":")).encode()
        part = path.with_name(f"{path.name}{_PART}")
        made.append(part)
        descriptor = self._disk.create(part)
        try:
            self._disk.write(descriptor, f"{xxhash.xxh3_128_hexdigest(text)}\n".encode() + text)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        made.append(path)
        self._disk.rename(part, path.name)
        self._disk.sync_directory(self._directory)

    def _read(self, manifest: Mapping[str, Any]) -> FrozenShard:
        entries = [
            segment["file"]
            for catalog in manifest["catalogs"]
            for segment in catalog["segments"]
            if segment["file"]
        ]
        files = [StoredFile.from_json(entry) for entry in [*entries, manifest["state"]]]
        *mapped, state = map_arrays(self._directory, files)
        sealed = iter(zip(files, mapped, strict=False))
        catalogs = []
        for place, catalog in enumerate(manifest["catalogs"]):
            arrays = _under(state, f"{place}.")
            segments = []
            for segment_place, entry in enumerate(catalog["segments"]):
                its_arrays = _under(arrays, f"{segment_place}.")
                file = None
                if entry["file"]:
                    file, sealed_arrays = next(sealed)
                    its_arrays |= sealed_arrays
                segment = freezing.segment_of(
                    its_arrays,
                    its_arrays["alive"],
                    first_row=entry["first_row"],
                    capacity=entry["capacity"],
                )
                if file:
                    self._stored[segment.segment] = file
                segments.append(segment)
            rows = freezing.rows_of(catalog["rows"], arrays, segments)
            catalogs.append((catalog["catalog"], catalog["generation"], rows))
        return FrozenShard(manifest["revision"], catalogs)

    def _read_manifest(self, number: int) -> dict[str, Any]:
        path = self.path(number, MANIFEST)
        try:
            checksum, _, text = path.read_bytes().partition(b"\n")
        except OSError as error:
            raise Torn(str(error)) from error
        if xxhash.xxh3_128_hexdigest(text).encode() != checksum:
            raise Torn(f"{path.name} differs from its checksum")
        manifest: dict[str, Any] = json.loads(text)
        if manifest["format"] != FORMAT:
            raise Torn(f"format {manifest['format']} instead of {FORMAT}")
        if {key: manifest[key] for key in self.owner} != self.owner:
            raise Torn(f"of shard {manifest['shard']} of {manifest['shards']}")
        return manifest

    def _readable(self, numbers: list[int]) -> Snapshot:
        """The first that has a manifest; its files are looked at when they are needed."""
        for number in numbers:
            try:
                return Snapshot(number, _files_of(self._read_manifest(number)))
            except Torn as problem:
                _log.warning("snapshot passed over", snapshot=number, problem=str(problem))
        return NOTHING

    def _ours(self) -> Iterator[tuple[int, Path]]:
        """Every file of a name that we give, and its number."""
        try:
            paths = list(self._directory.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            _log.error("directory cannot be read", directory=str(self._directory), error=str(error))
            return
        for path in paths:
            if name := _OURS.fullmatch(path.name):
                yield int(name[1]), path

    def _remove_old(self) -> None:
        kept = self._newest.files | self._before.files
        self._remove(
            path
            for number, path in sorted(self._ours(), key=lambda entry: entry[1].suffix != MANIFEST)
            if path.name not in kept and (path.suffix != journal.SUFFIX or number < self._before.number)
        )

    def _remove(self, paths: Iterator[Path]) -> None:
        for path in paths:
            try:
                self._disk.remove(path)
            except OSError as error:
                # It is in nobody's way but takes room; the next snapshot tries again.
                _log.warning("file not removed", file=path.name, error=str(error))


def _files_of(manifest: Mapping[str, Any]) -> frozenset[str]:
    files = [segment["file"] for catalog in manifest["catalogs"] for segment in catalog["segments"]]
    return frozenset(
        [
            f"{manifest['number']:012d}{MANIFEST}",
            manifest["state"]["name"],
            *(file["name"] for file in files if file),
        ]
    )


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
