"""What an import has written, so that the next one need not send it again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from vitrine.catalogs.rows import CatalogRow

# Changes when a row's digest is made otherwise.
_FORMAT = 1
_LOCK_TIMEOUT_S = 5.0


class Checkpoint:
    """A file of what was written: product, digest of its row, and the etag that the gateway answered.

    It proves nothing by itself. A row counts as written once `confirm` was told that the gateway has the
    product with that very etag; so a catalogue that was made anew, or a product that somebody else has
    changed since, is written again. A file that is damaged, or cannot be written, costs time only.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _opened(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._database = _opened(path)
        self._confirmed: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to confirm."""
        return self._database.execute("SELECT * FROM written LIMIT 1").fetchone() is None

    def confirm(self, products: Iterable[tuple[str, str]]) -> None:
        """Take note of products, by id and etag, that the gateway has now."""
        for product_id, etag in products:
            found = self._database.execute(
                "SELECT digest FROM written WHERE product = ? AND etag = ?", (product_id, etag)
            ).fetchone()
            if found is not None and etag:
                self._confirmed[product_id] = found[0]

    def has(self, row: CatalogRow) -> bool:
        """Whether the gateway has the row as it is.

        Once it has not, it has no later row of that product either: this one is written before.
        """
        known = self._confirmed.get(row.product_id)
        is_there = known is not None and known == digest(row)
        if not is_there:
            self._confirmed.pop(row.product_id, None)
        return is_there

    def record(self, written: Iterable[tuple[CatalogRow, str]]) -> None:
        """Keep rows that are durable, with their product's etag."""
        entries = [(row.product_id, found, etag) for row, etag in written if (found := digest(row)) and etag]
        # A disk that is full, or another import that holds the file for long: the rows are sent again then.
        with contextlib.suppress(sqlite3.OperationalError), self._database:
            self._database.executemany("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", entries)


def digest(row: CatalogRow) -> bytes | None:
    """SHA-256 of what a row says; None where one of its files cannot be looked at.

    Photos count by name, size and time of their last change, as for `make` and `rsync`: reading tens of
    thousands of them would take as long as sending them.
    """
    try:
        files = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in row.photos]
    except OSError:
        return None
    parts = [
        *(_FORMAT, row.product_id, row.title, row.description),
        *(sorted(row.attributes.items()), files, row.addresses),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _opened(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time, which is not always the same.
    database = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS written (product TEXT PRIMARY KEY, digest BLOB, etag TEXT) WITHOUT ROWID"
    )
    database.commit()
    return database
