from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from services.embedder import hub
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from tests.embedder import hub_server
from tests.embedder.hub_server import FILE, REPOSITORY, Hub
from tests.ports import reserved

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip

CONTENT = random.Random(0).randbytes(3_000_000)
HALF = len(CONTENT) // 2


def unwatched(share: float) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(hub, "CONNECT_TIMEOUT_S", 60.0)
    with hub_server.running(CONTENT) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        yield running


def download(directory: Path) -> Path:
    return hub.download(REPOSITORY, hub.FILES, directory, unwatched)


def test_a_hub_out_of_reach_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One short attempt decides, and nothing is written."""
    with reserved() as port:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        with pytest.raises(Unavailable, match="out of reach"):
            hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path, unwatched)
    assert list(tmp_path.iterdir()) == []


def test_a_tag_leads_to_its_checkpoint(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is the one that open_clip names, its file comes whole, and its progress is told."""
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"hf_hub": f"{REPOSITORY}/"})
    shares: list[float] = []
    path = hub.fetch_checkpoint("ViT-B-32", "laion2b_s34b_b79k", tmp_path, shares.append)
    assert path == tmp_path / FILE
    assert path.read_bytes() == CONTENT
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_safest_file_is_fetched(server: Hub, tmp_path: Path) -> None:
    """A safetensors file comes before a pickled one, in whatever order the hub names them."""
    server.files = [*reversed(hub.FILES)]
    assert download(tmp_path).name == FILE


def test_what_lies_there_whole_is_not_fetched_again(server: Hub, tmp_path: Path) -> None:
    """One download is enough."""
    download(tmp_path)
    download(tmp_path)
    assert server.ranges == [0]


def test_a_download_that_breaks_off_goes_on(server: Hub, tmp_path: Path) -> None:
    """Connections that break are made anew where they broke, as long as each brings something."""
    server.sends = len(CONTENT) // 3 + 1
    assert download(tmp_path).read_bytes() == CONTENT
    assert server.ranges == [0, server.sends, 2 * server.sends]


def test_a_broken_download_is_gone_on_with_later(server: Hub, tmp_path: Path) -> None:
    """A hub that gives no more is Unavailable; what it gave is kept for the next time."""
    server.sends = 0
    (tmp_path / f"{server.digest}.part").write_bytes(CONTENT[:HALF])
    with pytest.raises(Unavailable):
        download(tmp_path)
    assert hub.has_begun(tmp_path)
    server.sends = None
    assert download(tmp_path).read_bytes() == CONTENT
    assert server.ranges == [HALF, HALF]
    assert not hub.has_begun(tmp_path)


def test_a_killed_download_goes_on(server: Hub, tmp_path: Path) -> None:
    """What a killed process has received is not fetched a second time."""
    server.sends, server.hangs = HALF, True
    script = (
        "import sys; from pathlib import Path; from services.embedder import hub\n"
        f"hub.download({REPOSITORY!r}, hub.FILES, Path(sys.argv[1]), lambda share: print(share, flush=True))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "HF_ENDPOINT": server.url},
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert float(child.stdout.readline()) > 0
        child.kill()
    server.sends = None
    assert download(tmp_path).read_bytes() == CONTENT
    assert server.ranges[0] == 0 < server.ranges[1] <= HALF


def test_a_server_without_ranges_begins_again(server: Hub, tmp_path: Path) -> None:
    """A whole file is not appended to a part of it."""
    (tmp_path / f"{server.digest}.part").write_bytes(CONTENT[:HALF])
    server.knows_ranges = False
    assert download(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_other_bytes_than_the_published_ones_are_refused(server: Hub, tmp_path: Path, content: bytes) -> None:
    """A part that is not of the file, or too long, is not kept."""
    (tmp_path / f"{server.digest}.part").write_bytes(content)
    with pytest.raises(FailedPrecondition, match="expected") as caught:
        download(tmp_path)
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("server")
def test_an_unknown_tag_lists_the_known_ones(tmp_path: Path) -> None:
    """A mistyped tag is the caller's mistake."""
    with pytest.raises(InvalidArgument, match="laion2b_s34b_b79k"):
        hub.fetch_checkpoint("ViT-B-32", "laion3b", tmp_path, unwatched)


def test_a_repository_without_a_checkpoint_is_refused(server: Hub, tmp_path: Path) -> None:
    """A repository that holds something else is said to do so."""
    server.files = ["README.md"]
    with pytest.raises(InvalidArgument, match="no open_clip checkpoint"):
        download(tmp_path)


@pytest.mark.usefixtures("server")
def test_a_repository_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A repository that was taken down, or is somebody's own, is said to be so."""
    with pytest.raises(InvalidArgument, match="no repository shop/hats"):
        hub.download("shop/hats", hub.FILES, tmp_path, unwatched)
