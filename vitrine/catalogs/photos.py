"""Where the photo that a row names lies."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

IMAGES = "images"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def find(root: Path, name: str) -> Path | None:
    """The file called `name` under `root`, with or without its suffix; None when there is none.

    Of an address the last part counts. No name leads out of the folder.
    """
    relative = PurePosixPath(file_name(name) if is_address(name) else name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        return None
    for directory in (root / IMAGES, root):
        path = directory / relative
        for candidate in (path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES)):
            # Unlike Path.is_file, this is False and no error for a name that is too long to exist.
            if os.path.isfile(candidate):  # noqa: PTH113
                return candidate
    return None


def is_address(name: str) -> bool:
    """Whether it names something on the web, rather than a file."""
    return "://" in name


def is_fetchable(name: str) -> bool:
    """Whether it is an address that a photo can be fetched from."""
    return name.startswith(("http://", "https://"))


def file_name(name: str) -> str:
    """The last part of a path or an address."""
    path = unquote(urlsplit(name).path) if is_address(name) else name
    return PurePosixPath(path.replace("\\", "/")).name
