from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.embedder import weights
from services.mesh.models_dir import models_dir_default
from vitrine.cli.main import app


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of this machine, fetched where they are missing, with a folder of their own beside them."""
    weights.pull(weights.MODELS, models_dir_default(), lambda step: None)
    directory = tmp_path_factory.mktemp("weighing") / "models"
    directory.symlink_to(models_dir_default())
    return directory


def test_weights_are_fitted_and_shown(drawn_catalog: Path, models_dir: Path, tmp_path: Path) -> None:
    """Standard output has the document alone; vectors are kept, and a second run shows a table of it."""
    arguments = ["train", "weights", str(drawn_catalog), "--models-dir", str(models_dir)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    visual = [each["fitted"] for term, each in found["weights"].items() if term.startswith("visual.")]
    assert len(visual) >= 3
    assert sum(visual) == pytest.approx(1, abs=0.002)
    assert found["figures"]["gender_and_category_at_10"]["difference"]["n"] == 64
    assert "photos: 72 of 72" in result.stderr
    assert "fitted: 64 of 64" in result.stderr
    assert list((models_dir.parent / "evaluation").glob("clip-*/*.npz"))

    chosen = tmp_path / "products.txt"
    chosen.write_text("".join(f"{number}\n" for number in range(1000, 1060)))
    fewer = CliRunner().invoke(
        app, [*arguments, "--products", str(chosen), "--alike", "colour, type", "--profile", "same_style"]
    )
    assert fewer.exit_code == 0, fewer.output
    assert "photos of 60 products" in fewer.stdout
    assert "visual.resnet50" in fewer.stdout
    assert '_VISUAL_WEIGHTS\n    "same_style": {' in fewer.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--products", "nowhere.txt"], "error: --products: nowhere.txt cannot be read"),
        (["--alike", "price"], "error: --alike: no label 'price'"),
        (["--profile", "cheapest"], "error: --profile: no profile 'cheapest'"),
    ],
)
def test_mistakes_are_told(drawn_catalog: Path, models_dir: Path, arguments: list[str], message: str) -> None:
    """What cannot be meant ends with 2."""
    where = [str(drawn_catalog), "--models-dir", str(models_dir)]
    result = CliRunner().invoke(app, ["train", "weights", *where, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
