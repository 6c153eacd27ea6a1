from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.settings import GatewaySettings


def test_shards_are_a_list_in_order() -> None:
    """Targets are separated by commas, and their order is that of the shards."""
    assert GatewaySettings.load(["--shards", "a:1, b:2"]).shard_targets == ["a:1", "b:2"]


def test_the_home_directory_is_meant() -> None:
    """A tilde is the home directory."""
    assert GatewaySettings.load(["--data-dir", "~/x"]).data_dir == Path.home() / "x"


def test_a_missing_target_names_its_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gap among the shards stops the process and tells the key."""
    monkeypatch.setenv("VITRINE_GATEWAY_SHARDS", "a:1,,b:2")
    with pytest.raises(SystemExit):
        GatewaySettings.load([])
    assert "VITRINE_GATEWAY_SHARDS" in capsys.readouterr().err
