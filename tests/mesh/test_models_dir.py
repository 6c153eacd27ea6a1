from __future__ import annotations

from pathlib import Path

import pytest

from services.mesh.models_dir import models_dir_default


def test_the_environment_names_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`$VITRINE_MODELS_DIR` comes before the cache of the home directory."""
    monkeypatch.setenv("VITRINE_MODELS_DIR", str(tmp_path))
    assert models_dir_default() == tmp_path
    monkeypatch.delenv("VITRINE_MODELS_DIR")
    assert models_dir_default() == Path.home() / ".cache" / "vitrine" / "models"
