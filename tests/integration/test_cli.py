from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.drawings import draw
from tests.integration.conftest import Shop
from tests.integration.test_observability import handled, scraped
from tests.meshes import LiveMesh, command, eventually

pytestmark = pytest.mark.integration


def test_search_prints_hits_with_their_terms(mesh: LiveMesh, drawn: Shop) -> None:
    """`vitrine search --json` prints the hits in the form that it promises."""
    product, path = drawn.photos(4)[2]
    found = mesh.run_json("search", "--image", path, "--k", 5, "--catalog", drawn.catalog)
    assert [set(hit) >= {"product", "score", "similarity", "band", "terms"} for hit in found["hits"]] == [
        True
    ] * 5
    first = found["hits"][0]
    assert (first["product"], first["band"], first["similarity"] >= 99) == (product, "high", True)
    assert sum(term["contribution"] for term in first["terms"]) == pytest.approx(first["score"], abs=2e-6)


def test_words_find_shoes(mesh: LiveMesh, drawn: Shop) -> None:
    """`vitrine search --text "red shoes"` has shoes as its first three."""
    found = mesh.run_json("search", "--text", "red shoes", "--k", 5, "--catalog", drawn.catalog)
    assert [hit["attributes"]["type"] for hit in found["hits"][:3]] == ["Shoes"] * 3


def test_a_refusal_is_json_too(mesh: LiveMesh, drawn: Shop) -> None:
    """A command asked wrongly prints what is wrong as JSON and ends with 2."""
    error = mesh.run_json("search", "--text", "shoes", "--k", 0, "--catalog", drawn.catalog, status=2)[
        "error"
    ]
    assert (error["reason"], error["field"]) == ("INVALID_ARGUMENT", "k")


def test_indexing_again_changes_nothing(mesh: LiveMesh, shop: Shop) -> None:
    """What is there is left as it is, and its photos are not embedded again."""
    embedder = mesh.layout.metrics_url("embedder")
    before = handled(scraped(embedder), "vitrine.v1.EmbedderService", "EmbedImages")
    summary = mesh.run_json("index", shop.folder, "--catalog", shop.catalog)
    assert (summary["indexed"], summary["unchanged"]) == (0, summary["products"])
    assert handled(scraped(embedder), "vitrine.v1.EmbedderService", "EmbedImages") == before


def test_bad_rows_fail_alone(mesh: LiveMesh, tmp_path: Path) -> None:
    """Rows with a broken, a missing or no photo are in the report; the rest is indexed; it ends with 3."""
    folder = tmp_path / "catalog"
    images = folder / "images"
    images.mkdir(parents=True)
    draw("Shoes", "Red").save(images / "good.png")
    draw("Shoes", "Blue").save(images / "half.png")
    half = images / "half.png"
    half.write_bytes(half.read_bytes()[:300])
    (images / "text.png").write_text("no picture")
    (images / "empty.png").touch()
    rows = [("good", "good.png"), ("half", "half.png"), ("text", "text.png"), ("empty", "empty.png")]
    rows.append(("missing", "missing.png"))
    with (folder / "products.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "image"), *rows])
    report = tmp_path / "report.csv"
    summary = mesh.index(folder, "flawed", "--report", report, status=3)
    assert (summary["indexed"], summary["failed"]) == (1, 4)
    with report.open(newline="") as file:
        outcomes = {row["product"]: (row["outcome"], bool(row["message"])) for row in csv.DictReader(file)}
    bad = dict.fromkeys(("half", "text", "empty", "missing"), ("failed", True))
    assert outcomes == {"good": ("indexed", False), **bad}
    with mesh.client("flawed") as client:
        assert [product.id for product in client.list()] == ["good"]
        assert [hit.product.id for hit in client.search(text="shoes").hits] == ["good"]


def test_a_folder_of_pictures_is_a_catalogue(mesh: LiveMesh, drawn: Shop, tmp_path: Path) -> None:
    """Without a table each picture is a product, found by itself."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    paths = [path for _, path in drawn.photos(6)][:6]
    for number, path in enumerate(paths):
        shutil.copyfile(path, folder / ("more" if number % 2 else ".") / path.name)
    summary = mesh.index(folder, "pictures")
    assert (summary["indexed"], summary["failed"]) == (6, 0)
    with mesh.client("pictures") as client:
        for path in paths:
            hit = client.search(image=path, k=1).hits[0]
            assert hit.similarity >= 99
            assert path.stem in hit.product.id


def test_status_tells_of_every_part(mesh: LiveMesh, drawn: Shop) -> None:
    """`vitrine status` sees every service, shard, space and catalogue of a running mesh."""
    data_dir = mesh.log_dir.parent / "data"
    found: dict[str, Any] = {}

    def all_serve() -> bool:
        ended = subprocess.run(
            command("status", "--json", "--data-dir", data_dir), capture_output=True, check=False
        )
        found.update(json.loads(ended.stdout))
        told = {service["name"]: service["status"] for service in found["services"]}
        return told == dict.fromkeys(mesh.layout.addresses, "serving")

    # One that stands still for two seconds is said to be away.
    eventually(all_serve, what="all services serve")
    assert len(found["shards"]) == mesh.layout.shards
    assert drawn.catalog in str(found["catalogs"])


def test_a_second_mesh_on_the_same_ports_says_which_is_taken(mesh: LiveMesh, tmp_path: Path) -> None:
    """`vitrine up` where one listens already ends at once, naming the port and the flag that moves it."""
    ended = mesh.run(
        "up",
        "--port-base",
        mesh.layout.port_base,
        "--http-port",
        mesh.layout.http_port,
        "--data-dir",
        tmp_path,
    )
    assert ended.returncode == 1
    assert re.search(r"port \d+ \(\w+\) is in use; choose others with --port-base", ended.stderr)
