from __future__ import annotations

import warnings
from pathlib import Path

import httpx
import huggingface_hub
import pytest

from services.embedder import hub
from services.mesh.errors import InvalidArgument, Unavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip  # noqa: F401 - so that its own warnings at import are not those of a test


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "head", lambda url, timeout: httpx.Response(200))


def test_a_hub_out_of_reach_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One short attempt decides, and nothing is written."""

    def refused(url: str, timeout: float) -> httpx.Response:
        assert timeout <= 3
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(httpx, "head", refused)
    with pytest.raises(Unavailable, match="out of reach: no route"):
        hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("reachable")
def test_the_safest_file_of_the_tag_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tag leads to its repository, whose safetensors file comes before a pickled one."""

    def download(repository: str, name: str, local_dir: Path) -> str:
        path = local_dir / name
        path.write_text(repository)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "file_exists", lambda repository, name: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    path = hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path)
    assert path == tmp_path / "open_clip_model.safetensors"
    assert path.read_text() == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.mark.usefixtures("reachable")
def test_an_unknown_tag_lists_the_known_ones(tmp_path: Path) -> None:
    """A mistyped tag is the caller's mistake."""
    with pytest.raises(InvalidArgument, match="laion2b_s34b_b79k"):
        hub.fetch_checkpoint("ViT-B-32", "laion3b", tmp_path)


@pytest.mark.usefixtures("reachable")
def test_a_repository_without_a_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that holds something else is said to do so."""
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda repository, name: False)
    with pytest.raises(InvalidArgument, match="no open_clip checkpoint"):
        hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path)


@pytest.mark.usefixtures("reachable")
def test_a_broken_download_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks half way is Unavailable, not a crash."""

    def broken(repository: str, name: str, local_dir: Path) -> str:
        raise httpx.ReadError("connection reset")

    monkeypatch.setattr(huggingface_hub, "file_exists", lambda repository, name: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(Unavailable, match="connection reset"):
        hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path)
