"""Photos without a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from services.mesh.errors import InvalidArgument
from vitrine.catalogs.columns import Value
from vitrine.catalogs.photos import SUFFIXES
from vitrine.catalogs.rows import CatalogRow, RowProblem, product_id


class Tree:
    """Every file below a folder is a product; those that differ in the suffix only are photos of one.

    Raises InvalidArgument when there is none.
    """

    headers: Mapping[str, str] = {}

    def __init__(self, root: Path) -> None:
        self._root = root
        self._photos: dict[str, list[Path]] = {}
        for directory, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(directory, name)
                if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                    key = path.relative_to(root).with_suffix("").as_posix()
                    self._photos.setdefault(key, []).append(path)
        if not self._photos:
            raise InvalidArgument("folder", f"{root} has neither a table of products nor a photo")
        self.product_count = len(self._photos)

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        for number, (key, photos) in enumerate(self._photos.items(), start=1):
            identifier = product_id(key)
            title = re.sub(r"[\W_]+", " ", PurePosixPath(key).name).strip()
            attributes: dict[str, list[Value]] = {} if identifier == key else {"source_id": [key]}
            yield CatalogRow(identifier, title, "", attributes, photos, number)
