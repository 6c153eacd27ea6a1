"""Disks that refuse, that remember, and that lose power, for the tests of what a shard keeps on disk."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.vectorsearch.storage.disk import Disk


class SteppedDisk(Disk):
    """Comes to `step` before each thing that it does, and in the middle of each write."""

    def step(self, what: str) -> None: ...

    def create(self, path: Path) -> int:
        self.step("create")
        return super().create(path)

    def reopen(self, path: Path) -> int:
        self.step("reopen")
        return super().reopen(path)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        self.step("write")
        super().write(descriptor, data[: len(data) // 2])
        self.step("write on")
        super().write(descriptor, data[len(data) // 2 :])

    def cut(self, descriptor: int, size_bytes: int) -> None:
        self.step("cut")
        super().cut(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        self.step("sync")
        super().sync(descriptor)

    def sync_directory(self, path: Path) -> None:
        self.step("sync directory")
        super().sync_directory(path)

    def rename(self, path: Path, name: str) -> None:
        self.step("rename")
        super().rename(path, name)

    def remove(self, path: Path) -> None:
        self.step("remove")
        super().remove(path)


class RefusingDisk(SteppedDisk):
    """Has no room from one step on, for so many steps; a disk never refuses to remove or to cut."""

    def __init__(self, first: int, count: int) -> None:
        self.steps = itertools.count()
        self.refused = range(first, first + count)

    def step(self, what: str) -> None:
        if what not in {"remove", "cut"} and next(self.steps) in self.refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(slots=True)
class _File:
    content: bytearray = field(default_factory=bytearray)
    # What would be left of it.
    synced: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """A step that was done, or what the test noted between two."""

    what: str
    name: str = ""
    data: bytes = b""
    number: int = 0


class RememberingDisk(Disk):
    """Remembers everything that was done, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._names[descriptor] = path.name
        self.events.append(Event("create", path.name))
        return descriptor

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> None:
        super().write(descriptor, data)
        self.events.append(Event("write", self._names[descriptor], bytes(data)))

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.events.append(Event("sync", self._names[descriptor]))

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.events.append(Event("sync directory"))

    def rename(self, path: Path, name: str) -> None:
        super().rename(path, name)
        self.events.append(Event("rename", path.name, name.encode()))

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.events.append(Event("remove", path.name))


def lose_power(events: Sequence[Event], directory: Path, *, names_survive: bool) -> None:
    """Leave in `directory` what a loss of power after these events might leave at worst.

    What was not synced of a file's content reads as zeros. What was not synced of the names either all
    survives or is all lost.
    """
    names: dict[str, _File] = {}
    synced_names: dict[str, _File] = {}
    for event in events:
        match event.what:
            case "create":
                names[event.name] = _File()
            case "write":
                names[event.name].content += event.data
            case "sync":
                names[event.name].synced = bytes(names[event.name].content)
            case "rename":
                names[event.data.decode()] = names.pop(event.name)
            case "remove":
                names.pop(event.name, None)
            case "sync directory":
                synced_names = dict(names)
            case _:
                pass
    directory.mkdir()
    for name, file in (names if names_survive else synced_names).items():
        lost_bytes = len(file.content) - len(file.synced)
        (directory / name).write_bytes(file.synced + bytes(lost_bytes))
