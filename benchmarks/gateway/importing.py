"""Whole catalogues imported end to end, with everything killed halfway, as a share of the bare forward.

python -m benchmarks.gateway.importing CATALOGUES [--results DIR]

CATALOGUES holds folders with products.csv and images/, or with a zip of them. Halfway through the photos the
import and the gateway are killed (SIGKILL); the same command is run again until it is through. Afterwards
every catalogue must hold exactly the products of its table, each once.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.shop import Shop, running
from benchmarks.mesh import bare_forward
from benchmarks.report import RESULTS, progress, publish
from services.mesh.models_dir import models_dir_default
from vitrine import Client
from vitrine.errors import VitrineError

_BARE_PHOTOS = 64
_LOOK_EVERY_S = 2.0
# What `vitrine index` ends with when some rows failed, which is no failure of the import.
_SOME_ROWS_FAILED = 3


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A folder to import, and the ids in its table."""

    folder: Path
    ids: frozenset[str]

    @property
    def name(self) -> str:
        """Its id in the mesh."""
        return self.folder.name


@dataclass
class Ended:
    """How an import went: the summary that it printed, None when it was killed."""

    seconds: float
    summary: dict[str, object] | None


def main() -> None:
    """Import everything and print the figures."""
    parser = argparse.ArgumentParser(description="Whole catalogues imported, killed and resumed.")
    parser.add_argument("catalogues", type=Path)
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        catalogues = list(_catalogues(arguments.catalogues, Path(folder)))
        photos = sorted((catalogues[0].folder / "images").iterdir())[:_BARE_PHOTOS]
        before = bare_forward(arguments.models_dir, photos)
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        with running(arguments.models_dir, data_dir) as shop:
            imported = _import(shop, catalogues)
            problems = [problem for each in catalogues for problem in _problems(shop, each)]
        after = bare_forward(arguments.models_dir, photos)
    bare_photos_per_s = (before.photos_per_s + after.photos_per_s) / 2
    publish(
        "import",
        imported
        | {
            "bare_forward_photos_per_s": [round(each.photos_per_s, 1) for each in (before, after)],
            "import_over_bare": round(float(str(imported["photos_per_s"])) / bare_photos_per_s, 3),
            "problems": problems,
        },
        {},
        directory=arguments.results,
    )
    if problems:
        raise SystemExit("the catalogues are not what was imported")


def _catalogues(source: Path, unpacked: Path) -> Iterator[Catalogue]:
    for folder in sorted(source.iterdir()):
        if (folder / "products.csv").is_file():
            yield Catalogue(folder, _ids(folder / "products.csv"))
        for archive in sorted(folder.glob("*.zip")) if folder.is_dir() else ():
            progress(f"unpacking {archive.name}")
            target = unpacked / folder.name
            with zipfile.ZipFile(archive) as file:
                file.extractall(target)
            tables = sorted(target.rglob("products.csv"))
            yield from (Catalogue(table.parent, _ids(table)) for table in tables)


def _ids(table: Path) -> frozenset[str]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        return frozenset(row["id"] for row in csv.DictReader(file))


def _import(shop: Shop, catalogues: Sequence[Catalogue]) -> dict[str, object]:
    """Import all, with one kill when half of the products are there."""
    half = sum(len(each.ids) for each in catalogues) // 2
    done = 0
    killed = False
    seconds = 0.0
    summaries: dict[str, object] = {}
    for each in catalogues:
        kill_at = half - done if not killed and done + len(each.ids) > half else None
        ended = _index(shop, each, kill_at)
        seconds += ended.seconds
        if ended.summary is None:
            killed = True
            progress(f"{each.name}: killed with the gateway, and run again")
            shop.wait()
            ended = _index(shop, each, None)
            seconds += ended.seconds
        summaries[each.name] = ended.summary
        done += len(each.ids)
        progress(f"{each.name}: {ended.summary}")
    if not killed:
        raise SystemExit("nothing was killed: the catalogues are too small")
    return {
        "products": done,
        "seconds": round(seconds, 1),
        "photos_per_s": round(done / seconds, 2),
        "catalogues": summaries,
    }


def _index(shop: Shop, catalogue: Catalogue, kill_at: int | None) -> Ended:
    command = [sys.executable, "-m", "vitrine", "index", str(catalogue.folder), "--json"]
    command += ["--catalog", catalogue.name, "--server", shop.server]
    start_s = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ
    ) as index:
        while kill_at is not None and index.poll() is None:
            time.sleep(_LOOK_EVERY_S)
            if _count(shop, catalogue) >= kill_at:
                shop.gateway().kill()
                index.kill()
                index.wait()
                return Ended(time.monotonic() - start_s, None)
        printed, _ = index.communicate()
    if index.returncode not in (0, _SOME_ROWS_FAILED):
        raise SystemExit(f"the import of {catalogue.name} ended with {index.returncode}")
    summary = json.loads(printed)
    return Ended(
        time.monotonic() - start_s,
        {name: summary[name] for name in ("products", "indexed", "unchanged", "failed", "photos_per_s")},
    )


def _count(shop: Shop, catalogue: Catalogue) -> int:
    with Client(shop.server, catalog=catalogue.name) as client:
        try:
            return client.get_catalog().products
        except VitrineError:
            return 0


def _problems(shop: Shop, catalogue: Catalogue) -> Iterator[str]:
    """What of a catalogue is not as its table says."""
    with Client(shop.server, catalog=catalogue.name) as client:
        listed = [product.id for product in client.list()]
        counted = client.get_catalog().products
    if len(set(listed)) < len(listed):
        yield f"{catalogue.name}: {len(listed) - len(set(listed))} products are listed twice"
    if missing := catalogue.ids - set(listed):
        yield f"{catalogue.name}: {len(missing)} products are missing, such as {min(missing)}"
    if extra := set(listed) - catalogue.ids:
        yield f"{catalogue.name}: {len(extra)} products are in no table, such as {min(extra)}"
    if counted != len(listed):
        yield f"{catalogue.name}: {counted} products are counted and {len(listed)} listed"


if __name__ == "__main__":
    main()
