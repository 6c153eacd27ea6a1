"""Arrays in files, with a checksum for every block, so that a file that changed is known before it is used.

Arrays are used where the file is mapped. The checksums are kept apart from the file, by whoever knows that it
belongs to something whole. They are XXH3's of 64 bits (Collet, xxHash: fast digest algorithm, 2023): so quick
that memory is the limit, and computed without the interpreter lock.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import xxhash

from services.vectorsearch.storage.disk import Disk

BLOCK_BYTES = 1 << 20

# Blocks that a thread checks at a time.
_BLOCKS_AT_ONCE = 32

# Where arrays begin: vector instructions like it.
_ALIGNMENT_BYTES = 64

Arrays = dict[str, npt.NDArray[Any]]


class Torn(Exception):
    """What is on disk is not what was written."""


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where in a file an array lies, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of arrays as it was written."""

    name: str
    size_bytes: int
    # One for each block, in order.
    checksums: tuple[int, ...]
    arrays: Mapping[str, StoredArray]

    def to_json(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "checksums": [f"{checksum:016x}" for checksum in self.checksums],
            "arrays": {
                name: [array.dtype, array.shape, array.offset_bytes] for name, array in self.arrays.items()
            },
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> StoredFile:
        """What `to_json` told."""
        return cls(
            entry["name"],
            entry["size_bytes"],
            tuple(int(checksum, 16) for checksum in entry["checksums"]),
            {
                name: StoredArray(dtype, tuple(shape), offset_bytes)
                for name, (dtype, shape, offset_bytes) in entry["arrays"].items()
            },
        )


def write_arrays(disk: Disk, path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> StoredFile:
    """Write a new file, such that it would outlive a loss of power once its name does.

    Raises OSError; a part of the file may be there then.
    """
    checksums = []
    descriptor = disk.create(path)
    try:
        for block in _in_blocks(_pieces(arrays.values())):
            disk.write(descriptor, block)
            checksums.append(xxhash.xxh3_64_intdigest(block))
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    layout = {}
    end = 0
    for name, array in arrays.items():
        layout[name] = StoredArray(array.dtype.str, array.shape, end)
        end += array.nbytes + _padding(array.nbytes)
    return StoredFile(path.name, end, tuple(checksums), layout)


def map_arrays(directory: Path, files: Sequence[StoredFile]) -> list[Arrays]:
    """The arrays of files, by name, where the files are mapped: read-only, and read when they are looked at.

    Every block of every file is checked before, by as many threads as there are processors. Raises Torn for
    what is missing, cut short or changed, naming file and place.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(directory / file.name, file.size_bytes)) for file in files]
        parts = [
            (file, content, first)
            for file, content in zip(files, opened, strict=True)
            for first in range(0, len(file.checksums), _BLOCKS_AT_ONCE)
        ]
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="check") as checkers:
            for _ in checkers.map(_check, parts):
                pass
        return [_mapped(file, content) for file, content in zip(files, opened, strict=True)]


def _pieces(arrays: Iterable[npt.NDArray[Any]]) -> Iterator[memoryview]:
    for array in arrays:
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        yield memoryview(bytes(_padding(array.nbytes)))


def _padding(size_bytes: int) -> int:
    return -size_bytes % _ALIGNMENT_BYTES


def _in_blocks(pieces: Iterable[memoryview]) -> Iterator[bytearray]:
    block = bytearray()
    for piece in pieces:
        left = piece
        while left:
            room = BLOCK_BYTES - len(block)
            block += left[:room]
            left = left[room:]
            if len(block) == BLOCK_BYTES:
                yield block
                block = bytearray()
    if block:
        yield block


def _opened(path: Path, size_bytes: int) -> BinaryIO:
    try:
        content = cast(BinaryIO, path.open("rb", buffering=0))
    except OSError as error:
        raise Torn(str(error)) from error
    found_bytes = os.fstat(content.fileno()).st_size
    if found_bytes != size_bytes:
        content.close()
        raise Torn(f"{path.name} has {found_bytes} bytes instead of {size_bytes}")
    return content


def _check(part: tuple[StoredFile, BinaryIO, int]) -> None:
    file, content, first = part
    # Read and not looked at where it is mapped: what a broken disk refuses there ends the process.
    block = bytearray(BLOCK_BYTES)
    for number, checksum in enumerate(file.checksums[first : first + _BLOCKS_AT_ONCE], first):
        start = number * BLOCK_BYTES
        try:
            size_bytes = os.preadv(content.fileno(), [block], start)
        except OSError as error:
            raise Torn(f"{file.name} cannot be read at byte {start}: {error}") from error
        if xxhash.xxh3_64_intdigest(memoryview(block)[:size_bytes]) != checksum:
            raise Torn(f"{file.name} differs from its checksum in the block at byte {start}")


def _mapped(file: StoredFile, content: BinaryIO) -> Arrays:
    # Nothing cannot be mapped.
    mapping = mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) if file.size_bytes else b""
    return {
        name: np.frombuffer(
            mapping, array.dtype, count=math.prod(array.shape), offset=array.offset_bytes
        ).reshape(array.shape)
        for name, array in file.arrays.items()
    }
