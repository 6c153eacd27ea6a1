from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.trainer.evaluation.kept import Kept


def test_what_was_added_is_found_by_its_key(tmp_path: Path) -> None:
    """Rows come back in the order asked for, from any part, in another process too."""
    keys = np.array([9, 2, 2**64 - 1, 5], dtype=np.uint64)
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    Kept(tmp_path / "space").add(keys[:2], rows[:2])
    kept = Kept(tmp_path / "space")
    assert kept.lacks(keys).tolist() == [False, False, True, True]
    kept.add(keys[2:], rows[2:])
    for store in (kept, Kept(tmp_path / "space")):
        np.testing.assert_array_equal(store.take(keys[[3, 0, 0, 2]]), rows[[3, 0, 0, 2]])


def test_an_unfinished_part_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was interrupted while writing finds what was whole before."""
    kept = Kept(tmp_path)
    kept.add(np.array([1], dtype=np.uint64), np.zeros((1, 2)))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept.add(np.array([2], dtype=np.uint64), np.ones((1, 2)))
    assert Kept(tmp_path).lacks(np.array([1, 2], dtype=np.uint64)).tolist() == [False, True]
