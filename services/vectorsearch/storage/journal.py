"""What was applied to a shard since a snapshot, record by record, so that a start needs not ask for it again.

A journal is named for the snapshot that it begins with. Its records are chained: the checksum of each is
seeded with that of the one before. So a record counts only where it was written, and what comes after the
first that is torn counts for nothing. A journal begins by telling the end of the one before it. Where that is
what is on disk, the two are one: a snapshot that cannot be used, or never came to be, is bridged.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import xxhash

from services.vectorsearch.storage.disk import Disk

_log = structlog.get_logger()

SUFFIX = ".journal"

# Before each record: its bytes and its checksum.
_PREFIX = struct.Struct("<IQ")


@dataclass(frozen=True, slots=True)
class Record:
    """A record, and where the journal stands behind it: the bytes so far, and the checksum of it all."""

    payload: bytes
    end_bytes: int
    checksum: int


class Journal:
    """A journal that is appended to. Nobody else writes to it.

    One thread calls `append`, another one may call `sync` and, after the last `append`, `close`.
    """

    def __init__(self, disk: Disk, path: Path, descriptor: int, size_bytes: int, checksum: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.checksum = checksum
        self._disk = disk
        self._descriptor = descriptor
        # What would outlive a loss of power. The name of a new file does not yet.
        self._synced_bytes = 0

    @classmethod
    def create(cls, disk: Disk, path: Path, opening: Mapping[str, Any]) -> Journal:
        """A new journal whose first record is `opening`, as JSON. Raises OSError; there is none then."""
        descriptor = disk.create(path)
        journal = cls(disk, path, descriptor, 0, 0)
        try:
            journal.append(json.dumps(opening).encode())
        except OSError:
            os.close(descriptor)
            disk.remove(path)
            raise
        return journal

    @classmethod
    def reopen(cls, disk: Disk, path: Path, last: Record) -> Journal:
        """The journal there, to go on behind its `last` record; what comes after it is cut off.

        Raises OSError.
        """
        descriptor = disk.reopen(path)
        try:
            disk.cut(descriptor, last.end_bytes)
        except OSError:
            os.close(descriptor)
            raise
        return cls(disk, path, descriptor, last.end_bytes, last.checksum)

    def append(self, payload: bytes) -> None:
        """Add a record: it outlives the process when this returns.

        Raises OSError, and the journal ends behind its last whole record then. Nothing must be appended
        after that.
        """
        checksum = xxhash.xxh3_64_intdigest(payload, seed=self.checksum)
        record = _PREFIX.pack(len(payload), checksum) + payload
        try:
            self._disk.write(self._descriptor, record)
        except OSError:
            self._disk.cut(self._descriptor, self.size_bytes)
            raise
        self.size_bytes += len(record)
        self.checksum = checksum

    def sync(self) -> None:
        """Return when what has been appended would outlive a loss of power. Raises OSError."""
        size_bytes = self.size_bytes
        if size_bytes == self._synced_bytes:
            return
        self._disk.sync(self._descriptor)
        if not self._synced_bytes:
            self._disk.sync_directory(self.path.parent)
        self._synced_bytes = size_bytes

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def records(path: Path) -> Iterator[Record]:
    """The whole records of a journal in order, the opening first; none when there is no file."""
    if not path.exists():
        return
    start, checksum = 0, 0
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            while size_bytes - start >= _PREFIX.size:
                length, told = _PREFIX.unpack(file.read(_PREFIX.size))
                end = start + _PREFIX.size + length
                payload = file.read(length) if end <= size_bytes else b""
                checksum = xxhash.xxh3_64_intdigest(payload, seed=checksum)
                if len(payload) < length or checksum != told:
                    break
                start = end
                yield Record(payload, end, checksum)
    except OSError as error:
        _log.warning("journal cannot be read", journal=path.name, problem=str(error))
        return
    if start < size_bytes:
        _log.warning("journal torn", journal=path.name, whole_bytes=start, bytes=size_bytes)
