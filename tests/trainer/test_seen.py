from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder import weights
from services.mesh.errors import FailedPrecondition
from services.trainer import seen
from services.trainer.seen import Seen

digests = st.lists(st.integers(0, 2**64 - 1), max_size=30)


def test_a_photo_is_known_by_the_start_of_its_sha256() -> None:
    """Eight bytes, the first of them the most significant."""
    assert f"{seen.digest_of(b'photo'):016x}" == hashlib.sha256(b"photo").hexdigest()[:16]


@given(digests, digests)
def test_counting_is_counting(trained: list[int], asked: list[int]) -> None:
    """Every photo asked for that was trained on counts, as often as it is asked for."""
    found = Seen.of(trained)
    assert found.count(np.array(asked, dtype=np.uint64)) == sum(digest in set(trained) for digest in asked)
    assert found.digests.tolist() == sorted(set(trained))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """The largest digest survives, and nothing else is left in the folder."""
    path = tmp_path / seen.FILE
    Seen.of([2**64 - 1, 3, 3]).save(path)
    assert Seen.load(path).digests.tolist() == [3, 2**64 - 1]
    assert [file.name for file in tmp_path.iterdir()] == [seen.FILE]


@pytest.mark.parametrize("content", [None, b"no array"])
def test_a_missing_or_damaged_list_is_told(tmp_path: Path, content: bytes | None) -> None:
    """Nobody takes an unreadable list for an empty one."""
    path = tmp_path / seen.FILE
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FailedPrecondition) as caught:
        Seen.load(path)
    assert caught.value.reason == "SEEN_MISSING"


def test_all_heads_in_use_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory's own head stands for the shipped one of its name; nobody knows where a list is missing."""
    shipped, own = tmp_path / "shipped", tmp_path / "models" / "heads"
    monkeypatch.setattr(weights, "HEADS_DIR", shipped)
    for folder in (shipped, own):
        folder.mkdir(parents=True)
    for name in ("clip.safetensors", "triplet.safetensors"):
        (shipped / name).touch()
    assert Seen.by(tmp_path / "models") is None
    Seen.of([1, 2]).save(shipped / seen.FILE)
    Seen.of([2, 3]).save(own / seen.FILE)

    def known() -> list[int] | None:
        found = Seen.by(tmp_path / "models")
        return None if found is None else found.digests.tolist()

    assert known() == [1, 2]
    (own / "triplet.safetensors").touch()
    assert known() == [1, 2, 3]
    (own / "clip.safetensors").touch()
    assert known() == [2, 3]
    (own / seen.FILE).unlink()
    assert known() is None
