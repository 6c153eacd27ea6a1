from __future__ import annotations

import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from services.mesh.errors import Unavailable
from services.mesh.registries import Package
from tests.drawings import draw
from vitrine.catalogs import shops
from vitrine.catalogs.console import shown
from vitrine.catalogs.demo import Demo, prepare
from vitrine.catalogs.folder import CatalogFolder
from vitrine.catalogs.rows import CatalogRow


def photo(kind: str, colour: str) -> bytes:
    file = io.BytesIO()
    draw(kind, colour).save(file, "PNG")
    return file.getvalue()


def saleor(path: Path) -> None:
    def image(product: int, name: str) -> dict[str, object]:
        return {"model": "product.productimage", "pk": name, "fields": {"product": product, "image": name}}

    def product(key: int, name: str, category: int, kind: int) -> dict[str, object]:
        fields: dict[str, object] = {"name": name, "category": category, "product_type": kind}
        fields |= {"price_amount": "59.00", "description": "D"}
        return {"model": "product.product", "pk": key, "fields": fields}

    def named(model: str, key: int, name: str, parent: int | None = None) -> dict[str, object]:
        return {"model": model, "pk": key, "fields": {"name": name, "parent": parent}}

    data = [
        named("product.category", 1, "Apparel"),
        named("product.category", 2, "Footwear", 1),
        named("product.category", 3, "Juices"),
        named("product.producttype", 1, "Shoe"),
        named("product.producttype", 2, "Juice"),
        product(87, "Yellow Plimsolls", 2, 1),
        product(71, "Orange Juice", 3, 2),
        product(72, "Apple Juice", 3, 2),
        image(87, "products/sneakers_01_1_2r1OBiC.png"),
        image(87, "products/sneakers-woman_GnWInHA.png"),
        image(71, "products/juice_k9z7OUO.png"),
        image(72, "products/juice_RjWl7u8.png"),
    ]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("saleor/static/populatedb_data.json", json.dumps(data))
        wheel.writestr("saleor/static/placeholders/sneakers_01_1.png", photo("Shoes", "Yellow"))
        wheel.writestr("saleor/static/placeholders/sneakers-woman.png", photo("Shoes", "White"))
        wheel.writestr("saleor/static/placeholders/juice.png", photo("Handbags", "Yellow"))


def tarball(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def sakai(path: Path) -> None:
    products = [
        {"id": "1", "name": "Sneakers", "image": "sneakers.jpg", "price": 78, "category": "Clothing"},
        {"id": "2", "name": "Blue Band", "image": "band.jpg", "price": 79, "category": "Fitness"},
        {"id": "3", "name": "Blue Band Again", "image": "again.jpg", "price": 79, "category": "Fitness"},
    ]
    demo = "src/assets/demo"
    tarball(
        path,
        {
            f"{demo}/data/products.json": json.dumps({"data": products}).encode(),
            f"{demo}/images/product/sneakers.jpg": photo("Shoes", "Black"),
            f"{demo}/images/product/band.jpg": photo("Handbags", "Blue"),
            f"{demo}/images/product/again.jpg": photo("Handbags", "Blue"),
        },
    )


def vendure(path: Path) -> None:
    table = (
        "name      ,slug ,description   ,assets,facets            ,price ,sku\n"
        'Run Shoe  ,run  ,"Light, quick",a.jpg ,category:Sports|category:Footwear|color:gray,99.95,1\n'
        "          ,     ,              ,      ,                  ,99.95 ,2\n"
    )
    tarball(path, {"assets/products.csv": table.encode(), "assets/images/a.jpg": photo("Shoes", "Pink")})


WRITERS = {"saleor": saleor, "sakai-ng": sakai, "@vendure/create": vendure}


class Registry:
    """Stands for the registries' clients. Packages in `away` are out of reach; `asked` is what was wanted."""

    def __init__(self, away: set[str] | None = None) -> None:
        self.away = away or set()
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, package: Package, directory: Path) -> Path:
        with self._lock:
            self.asked.append(package.name)
        if package.name in self.away:
            raise Unavailable(f"{package.label} is gone")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{package.name.replace('/', '-')}.archive"
        WRITERS[package.name](path)
        return path


def made(directory: Path, registry: Registry) -> Demo:
    return prepare(directory, lambda _shop, _what: None, client=registry)


def products(demo: Demo) -> dict[str, CatalogRow]:
    rows = [row for row in CatalogFolder(demo.folder) if isinstance(row, CatalogRow)]
    return {row.product_id: row for row in rows}


def test_the_shops_become_a_catalogue_folder(tmp_path: Path) -> None:
    """Products of all shops, with what each states, are in one folder that reads without a problem."""
    demo = made(tmp_path, Registry())
    found = products(demo)
    assert (demo.products, demo.photos, demo.missing) == (5, 6, {})
    assert len(list(CatalogFolder(demo.folder))) == 5
    plimsolls = found["saleor-87"]
    assert (plimsolls.title, plimsolls.description, len(plimsolls.photos)) == ("Yellow Plimsolls", "D", 2)
    assert plimsolls.attributes == {
        "gender": ["Women"],
        "category": ["Footwear"],
        "type": ["Shoes"],
        "colour": ["Yellow"],
        "master_category": ["Apparel"],
        "shop": ["saleor"],
        "price": [59.0],
    }
    assert found["vendure-run"].description == "Light, quick"
    assert found["vendure-run"].attributes["master_category"] == ["Sports"]
    assert found["vendure-run"].attributes["colour"] == ["Grey"]


def test_shoes_are_shoes_in_every_shop(tmp_path: Path) -> None:
    """A shop that calls them clothing does not keep them from being found as footwear."""
    found = products(made(tmp_path, Registry()))
    shoes = {key for key, row in found.items() if row.attributes.get("category") == ["Footwear"]}
    assert shoes == {"saleor-87", "sakai-1", "vendure-run"}
    assert all(found[key].attributes["type"] == ["Shoes"] for key in shoes)


def test_nothing_is_invented(tmp_path: Path) -> None:
    """A drink has no colour though its name is one, and a thing without a known word no type."""
    found = products(made(tmp_path, Registry()))
    assert "colour" not in found["saleor-71"].attributes
    assert "type" not in found["sakai-2"].attributes


def test_no_two_products_share_a_photo(tmp_path: Path) -> None:
    """A product whose only photo is that of another is left out: no search by photo could tell them apart."""
    found = products(made(tmp_path, Registry()))
    assert "sakai-3" not in found
    assert "saleor-72" not in found


def test_licences_are_stated(tmp_path: Path) -> None:
    """LICENSES.md names package, version, digest and licence of each shop."""
    text = (made(tmp_path, Registry()).folder / "LICENSES.md").read_text()
    for shop in shops.SHOPS:
        assert shop.package.label in text
        assert shop.package.sha256 in text
        assert shop.package.licence in text


def test_a_second_run_asks_no_registry(tmp_path: Path) -> None:
    """A complete catalogue is used as it is, and no archive is kept beside it."""
    first = made(tmp_path, Registry())
    registry = Registry()
    assert made(tmp_path, registry) == first
    assert registry.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


def test_a_shop_that_vanished_is_left_out(tmp_path: Path) -> None:
    """The others make the catalogue, the reason is told, and the next run tries the missing one again."""
    told: list[tuple[str, str]] = []
    registry = Registry(away={"sakai-ng"})
    demo = prepare(tmp_path, lambda shop, what: told.append((shop, what)), client=registry)
    assert list(demo.missing) == ["sakai"]
    assert "gone" in demo.missing["sakai"]
    assert ("sakai", "left out: npm:sakai-ng@2.0.4 is gone") in told
    assert "sakai-1" not in products(demo)
    assert "sakai-1" in products(made(tmp_path, Registry()))


def test_without_any_shop_there_is_no_demo(tmp_path: Path) -> None:
    """When every shop is out of reach the caller is told so, and no half folder is left."""
    with pytest.raises(Unavailable, match="no part of the demo catalogue"):
        made(tmp_path, Registry(away=set(WRITERS)))
    assert not (tmp_path / "catalog").exists()


def test_a_damaged_record_means_a_new_catalogue(tmp_path: Path) -> None:
    """A folder whose record cannot be read is made anew."""
    folder = made(tmp_path, Registry()).folder
    (folder / "demo.json").write_text("{")
    registry = Registry()
    made(tmp_path, registry)
    assert len(registry.asked) == 3


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown(terminal: bool) -> None:
    """On a terminal and in a pipe alike each shop and what became of it can be read."""
    file = io.StringIO()
    with shown(Console(file=file, force_terminal=terminal, width=100)) as progress:
        progress("saleor", "fetching [1]")
        progress("saleor", "fetched")
    assert "saleor: fetched" in file.getvalue()


def test_every_package_is_pinned() -> None:
    """Each shop names an exact version and the SHA-256 of its archive."""
    for shop in shops.SHOPS:
        assert len(bytes.fromhex(shop.package.sha256)) == 32
        assert shop.package.version[0].isdigit()
