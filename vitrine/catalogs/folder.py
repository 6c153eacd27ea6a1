"""Catalogue folders as products.

A catalogue folder holds `products.csv`, one row a photo, and the photos, in `images/` or beside the table. A
folder without a table is taken for a tree of photos, each file name (without suffix) one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from services.mesh.errors import InvalidArgument
from vitrine.catalogs.columns import Choices
from vitrine.catalogs.records import CSV_SUFFIXES, JSON_SUFFIXES
from vitrine.catalogs.rows import CatalogRow, RowProblem
from vitrine.catalogs.table import Table
from vitrine.catalogs.tree import Tree

TABLE = "products.csv"


class CatalogFolder:
    """A catalogue folder, looked through once when made, so that its size and its columns' types are known.

    Iterating yields each product at its first row, and each problem at its row; only ids and the names of
    further photos are held in memory. `product_count` is the number of products if no row has a problem.

    `root` is a folder, or a table whose folder has the photos. A table is CSV, or JSON Lines, as
    `vitrine.catalogs.records` reads them. Columns are named as in `vitrine.catalogs.columns`.

    - `a|b` in a cell are two values (of `image`: two photos). An empty cell is absent.
    - A column whose every value is a number, or true or false, has numbers or flags; columns of ids are text.
    - A cell of a column `attributes` that is a JSON object gives its members.
    - A product without an id is called as its photo, one without an image by its id.
    - An image given by an address is looked for by its file name. Where there is none, its address is the
      product's with `fetches`, and a problem of the row without. Nothing is fetched here.

    `chosen` says for some fields which columns hold them: one, or for `image` several. A table of another
    name is taken where it is the only one; `table` is the one that was read, None for a tree of photos.

    Raises InvalidArgument when there is no such folder or table, the table is empty or has neither ids nor
    images, there are several tables and none is called `products`, there is neither a table nor a photo, or a
    choice fits no column.
    """

    def __init__(self, root: Path, chosen: Choices | None = None, *, fetches: bool = False) -> None:
        self.root = root
        self.table = _table_of(root)
        if chosen and self.table is None:
            raise InvalidArgument("map", f"{root} has no table, so no columns")
        self._source: Table | Tree = (
            Table(self.table, chosen or {}, fetches=fetches) if self.table else Tree(root)
        )
        self.product_count = self._source.product_count

    @property
    def columns(self) -> Mapping[str, str]:
        """What each known field and attribute was read from: name -> header, in the order of our names."""
        return self._source.headers

    def __iter__(self) -> Iterator[CatalogRow | RowProblem]:
        return iter(self._source)


def _table_of(root: Path) -> Path | None:
    """`root` itself where it is a table; in a folder `products.csv` or its like, else the only table."""
    if root.is_file():
        if root.suffix.lower() not in CSV_SUFFIXES + JSON_SUFFIXES:
            known = ", ".join(CSV_SUFFIXES + JSON_SUFFIXES)
            raise InvalidArgument("folder", f"{root} is neither a folder nor a table ({known})")
        return root
    if not root.is_dir():
        raise InvalidArgument("folder", f"{root} is neither a folder nor a table")
    if (root / TABLE).is_file():
        return root / TABLE
    tables = sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in CSV_SUFFIXES + JSON_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    called_so = [path for path in tables if path.stem.lower() == Path(TABLE).stem]
    if len(called_so) == 1:
        return called_so[0]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InvalidArgument("folder", f"{root} has several tables ({names}): call the right one {TABLE}")
    return tables[0] if tables else None
