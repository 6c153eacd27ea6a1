"""Every step by which a shard changes what is on disk.

They are few and in one place, so that a test can end the process at each of them, or let each of them fail.
"""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The disk. Every method raises OSError when it refuses."""

    def create(self, path: Path) -> int:
        """A new file to write to: its descriptor. There must not be one of that name."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def reopen(self, path: Path) -> int:
        """A file that is there, to append to: its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`; a part of it may be there when this raises."""
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]

    def cut(self, descriptor: int, size_bytes: int) -> None:
        """Let a file end there."""
        os.ftruncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        """Return when the content of a file would outlive a loss of power."""
        os.fsync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory would outlive a loss of power."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, path: Path, name: str) -> None:
        """Give a file another name in its directory, in place of the file that had it."""
        path.rename(path.with_name(name))

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)
