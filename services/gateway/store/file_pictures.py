"""Pictures as files in a directory."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from services.mesh.errors import Unavailable

Result = TypeVar("Result")

# What a name may be. There is no way out of the directory in it, and temporary files have none.
_NAME = re.compile(r"[0-9a-z]{1,128}\.[a-z]{1,8}")


class FilePictures:
    """A `PictureStore` of one directory, which is made where it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def put(self, file: str, data: bytes) -> None:
        """See PictureStore."""
        assert _NAME.fullmatch(file), file
        await _threaded(lambda: self._put(self._directory / file, data))

    async def get(self, file: str) -> bytes | None:
        """See PictureStore."""
        return await _threaded(lambda: _read(self._directory / file)) if _NAME.fullmatch(file) else None

    def _put(self, path: Path, data: bytes) -> None:
        if path.exists():
            return
        # Whole or not at all, whatever dies meanwhile; the directory is what remembers the name.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def _threaded(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        message = f"the disk of the pictures fails: {error.strerror or error}"
        raise Unavailable(message, reason="STORE_UNAVAILABLE") from error
