from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.settings import GatewaySettings


def test_shards_are_a_list_in_order() -> None:
    """Shards are separated by commas in their order, the replicas of one by bars."""
    assert GatewaySettings.load(["--shards", "a:1, b:2"]).shard_targets == [["a:1"], ["b:2"]]
    settings = GatewaySettings.load(["--shards", "a:1|b:1,a:2", "--next-shards", "a:3 | b:3"])
    assert settings.shard_targets == [["a:1", "b:1"], ["a:2"]]
    assert settings.next_shard_targets == [["a:3", "b:3"]]
    assert GatewaySettings.load([]).next_shard_targets == []
    named = GatewaySettings.load(["--shards", "dns:///a:1|b:1,dns://10.0.0.1/c:1"])
    assert named.shard_targets == [["dns:///a:1", "b:1"], ["dns://10.0.0.1/c:1"]]


def test_the_home_directory_is_meant() -> None:
    """A tilde is the home directory."""
    assert GatewaySettings.load(["--data-dir", "~/x"]).data_dir == Path.home() / "x"


@pytest.mark.parametrize("key", ["SHARDS", "NEXT_SHARDS"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a:1,,b:2", "needs one or more targets"),
        ("a:1||b:2", "needs one or more targets"),
        (" ", "needs one or more targets"),
        (",".join(f"a:{port}" for port in range(65)), "names 65 shards"),
        ("a:0," + "|".join(f"a:{port}" for port in range(1, 10)), "more than 8 replicas"),
        ("a:1|b:1,a:1", "a target twice"),
        ("dns:///shard-0:1,dns:///shard-1", "dns:///shard-1 is no target"),
    ],
)
def test_what_is_no_set_of_shards_names_its_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, value: str, problem: str
) -> None:
    """A gap among the shards, too many of them, or one target in two places stop the process."""
    monkeypatch.setenv(f"VITRINE_GATEWAY_{key}", value)
    with pytest.raises(SystemExit):
        GatewaySettings.load([])
    told = capsys.readouterr().err
    assert f"VITRINE_GATEWAY_{key} " in told
    assert problem in told


def test_a_store_is_told_by_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No address means files; anything but MongoDB stops the process, and no password is ever printed."""
    assert not GatewaySettings.load([]).store_url
    for url in ("mongodb://shop:secret@a:1,b:2/vitrine", "mongodb+srv://shop:secret@db.example/x"):
        settings = GatewaySettings.load(["--store-url", url])
        assert settings.store_url.get_secret_value() == url
        assert "secret" not in repr(settings)
    monkeypatch.setenv("VITRINE_GATEWAY_STORE_URL", "postgres://shop:secret@a/vitrine")
    with pytest.raises(SystemExit):
        GatewaySettings.load([])
    told = capsys.readouterr().err
    assert "VITRINE_GATEWAY_STORE_URL " in told
    assert "secret" not in told
