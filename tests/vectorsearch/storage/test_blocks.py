from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.storage.blocks import (
    BLOCK_BYTES,
    Arrays,
    StoredFile,
    Torn,
    map_arrays,
    write_arrays,
)
from services.vectorsearch.storage.disk import Disk
from tests.vectorsearch.storage.disks import RefusingDisk

ARRAYS: Arrays = {
    "matrix": np.random.default_rng(0).normal(size=(700, 1000)).astype(np.float32),
    "none": np.zeros((0, 5), dtype=np.int64),
    "flags": np.array([True, False, True]),
    "text": np.frombuffer(b"some text", dtype=np.uint8),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StoredFile]:
    directory = tmp_path_factory.mktemp("blocks")
    return directory, write_arrays(Disk(), directory / "file", ARRAYS)


def test_arrays_come_back_as_they_were(stored: tuple[Path, StoredFile]) -> None:
    """Type, shape and every bit, over several blocks, and through JSON."""
    directory, file = stored
    assert len(file.checksums) == -(-file.size_bytes // BLOCK_BYTES) > 2
    assert file.size_bytes == (directory / "file").stat().st_size
    (arrays,) = map_arrays(directory, [StoredFile.from_json(file.to_json())])
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        assert array.tobytes() == ARRAYS[name].tobytes()


def test_what_is_mapped_cannot_be_written_to(stored: tuple[Path, StoredFile]) -> None:
    """Nobody changes a file by mistake through an array."""
    directory, file = stored
    (arrays,) = map_arrays(directory, [file])
    with pytest.raises(ValueError, match="read-only"):
        arrays["matrix"][0, 0] = 1


def test_a_file_of_nothing(tmp_path: Path) -> None:
    """No arrays and no bytes are a file too."""
    file = write_arrays(Disk(), tmp_path / "empty", {})
    assert map_arrays(tmp_path, [file]) == [{}]


def test_no_file_is_written_over(tmp_path: Path) -> None:
    """A name is used once."""
    write_arrays(Disk(), tmp_path / "file", {})
    with pytest.raises(FileExistsError):
        write_arrays(Disk(), tmp_path / "file", ARRAYS)


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    """The error of the disk comes through from any step."""
    for step in range(8):
        with pytest.raises(OSError, match=r"No space") as raised:
            write_arrays(RefusingDisk(step, 1), tmp_path / f"{step}", ARRAYS)
        assert raised.value.errno == errno.ENOSPC


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_found_and_told_where(data: st.DataObject, stored: tuple[Path, StoredFile]) -> None:
    """A bit turned over is told by its block; a file that is shorter, longer or lost is told too."""
    directory, file = stored
    path = directory / "file"
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1), label="place")
    damaged = bytearray(whole)
    expected = "bytes instead of"
    match data.draw(st.sampled_from(["cut", "flip", "longer", "lose"]), label="damage"):
        case "cut":
            del damaged[place:]
        case "flip":
            damaged[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            expected = f"in the block at byte {place // BLOCK_BYTES * BLOCK_BYTES}$"
        case "longer":
            damaged += b"x"
        case _:
            expected = "No such file"
    path.unlink()
    if expected != "No such file":
        path.write_bytes(damaged)
    try:
        with pytest.raises(Torn, match=expected):
            map_arrays(directory, [file])
    finally:
        path.write_bytes(whole)
