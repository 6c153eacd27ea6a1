from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.embedder import weights
from services.mesh.models_dir import models_dir_default
from services.trainer import seen
from services.trainer.evaluation import embedding
from vitrine.cli.main import app


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of this machine, fetched where they are missing, with a folder of their own beside them."""
    weights.pull(weights.MODELS, models_dir_default(), lambda step: None)
    directory = tmp_path_factory.mktemp("evaluating") / "models"
    directory.mkdir()
    for folder in models_dir_default().iterdir():
        if folder.name != "heads":
            (directory / folder.name).symlink_to(folder)
    return directory


def test_a_folder_is_evaluated(drawn_catalog: Path, models_dir: Path, tmp_path: Path) -> None:
    """Standard output has the document alone; vectors are kept, and a second run shows them as tables."""
    hits, report = tmp_path / "hits.jsonl", tmp_path / "report.html"
    arguments = ["eval", str(drawn_catalog), "--models-dir", str(models_dir)]
    result = CliRunner().invoke(
        app, [*arguments, "--json", "--dump-hits", str(hits), "--report", str(report)]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"resnet50", "triplet", "colour", "clip"} <= found["spaces"].keys()
    assert found["profiles"]["similar"]["gender_at_10"]["n"] == 64
    assert found["masked"]["profiles"]["similar"]["text_to_image"]["mrr"]["n"] == 64
    assert "photos: 72 of 72" in result.stderr
    assert found["profiles"].keys() == found["masked"]["profiles"].keys() == {"similar", "same_style"}
    # Every space takes photos and one takes titles too; either profile takes both, masked and not.
    assert len(hits.read_text().splitlines()) == 64 * (len(found["spaces"]) + 1 + 2 * 2 * 2)
    assert "<title>" in report.read_text(encoding="utf-8")
    assert list((models_dir.parent / "evaluation").glob("clip-*/*.npz"))

    heads = models_dir / "heads"
    heads.mkdir()
    for head in weights.HEADS_DIR.glob("*.safetensors"):
        (heads / head.name).symlink_to(head)
    photos = sorted((drawn_catalog / "images").iterdir())
    seen.Seen.of(embedding.digests(photos[:3])).save(heads / seen.FILE)
    again = CliRunner().invoke(app, [*arguments, "--sample", "5"])
    assert again.exit_code == 0, again.output
    assert "64 products with 72 photos; 5 photos and 5 titles asked" in again.stdout
    assert "gender, category @10" in again.stdout
    assert "trained on 3 of these 72 photos" in again.stderr.replace("\n", " ")

    for option in ("--dump-hits", "--report"):
        unwritten = CliRunner().invoke(app, [*arguments, "--sample", "1", option, str(tmp_path)])
        assert unwritten.exit_code == 2
        assert f"error: {option}: " in unwritten.stderr

    chosen = tmp_path / "products.txt"
    chosen.write_text("1001\n\n1002\n1003\n")
    fewer = CliRunner().invoke(app, [*arguments, "--products", str(chosen), "--unseen-only", "--json"])
    assert fewer.exit_code == 0, fewer.output
    counts = json.loads(fewer.stdout)["catalogue"]
    assert (counts["products"], counts["photos_trained_on"]) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "is neither a folder nor a table"),
        (["--products", "nowhere.txt"], "error: --products: nowhere.txt cannot be read"),
        (["--sample", "0"], "greater than or equal to 1"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, drawn_catalog: Path, arguments: list[str], message: str) -> None:
    """What cannot be meant ends with 2 before anything is loaded."""
    folder = drawn_catalog if arguments else tmp_path / "nothing"
    result = CliRunner().invoke(app, ["eval", str(folder), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_models_their_command_is_named(drawn_catalog: Path, tmp_path: Path) -> None:
    """Nothing is evaluated with weights that are not there."""
    result = CliRunner().invoke(app, ["eval", str(drawn_catalog), "--models-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "vitrine models pull" in result.stderr
