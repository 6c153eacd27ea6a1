from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from services.mesh import registries
from services.mesh.errors import FailedPrecondition, Unavailable
from services.mesh.registries import Package

CONTENT = b"an archive"
PACKAGE = Package(
    registry="npm",
    name="shoes",
    version="1.0.0",
    sha256="0" * 64,
    licence="MIT",
)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return replace(PACKAGE, sha256=registries.sha256(path))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with a client that counts its calls and leaves CONTENT as its archive."""
    folder = tmp_path / "bin"
    folder.mkdir()
    client = folder / "npm"
    client.write_text(
        f"#!/bin/sh\necho called >> {folder}/calls\nprintf '{CONTENT.decode()}' > shoes-1.0.0.tgz\n"
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def calls(folder: Path) -> int:
    log = folder / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_what_lies_there_whole_is_not_fetched_again(tmp_path: Path, npm: Path, package: Package) -> None:
    """The client runs once; a damaged archive makes it run again."""
    archive = registries.fetch(package, tmp_path / "archives")
    assert archive.read_bytes() == CONTENT
    assert registries.fetch(package, tmp_path / "archives") == archive
    assert calls(npm) == 1
    archive.write_bytes(b"torn")
    assert registries.fetch(package, tmp_path / "archives").read_bytes() == CONTENT
    assert calls(npm) == 2


def test_other_bytes_than_the_pinned_ones_are_refused(tmp_path: Path, npm: Path) -> None:
    """An archive with another digest is not kept."""
    with pytest.raises(FailedPrecondition, match="expected") as caught:
        registries.fetch(PACKAGE, tmp_path / "archives")
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_failing_client_is_quoted(tmp_path: Path, npm: Path, package: Package) -> None:
    """The last words of the client are in the message."""
    (npm / "npm").write_text("#!/bin/sh\necho no such package >&2\nexit 7\n")
    with pytest.raises(Unavailable, match="exit status 7: no such package"):
        registries.fetch(package, tmp_path / "archives")


def test_a_silent_client_is_not_believed(tmp_path: Path, npm: Path, package: Package) -> None:
    """A client that ends well without an archive is an error."""
    (npm / "npm").write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(Unavailable, match="left 0 archives"):
        registries.fetch(package, tmp_path / "archives")


def test_a_hanging_client_is_ended(
    tmp_path: Path, npm: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pull hangs for ever."""
    (npm / "npm").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(registries, "TIMEOUT_S", 0.2)
    with pytest.raises(Unavailable, match="took more than"):
        registries.fetch(package, tmp_path / "archives")


def test_a_missing_client_is_named(tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm the message says that npm is needed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="npm is not installed"):
        registries.fetch(package, tmp_path / "archives")


def test_both_kinds_of_archive_are_unpacked(tmp_path: Path) -> None:
    """Wheels are zip files, npm packs are gzipped tar files."""
    with zipfile.ZipFile(tmp_path / "wheel", "w") as wheel:
        wheel.writestr("model/a.txt", "zip")
    with tarfile.open(tmp_path / "pack", "w:gz") as pack:
        entry = tarfile.TarInfo("package/b.txt")
        entry.size = 3
        pack.addfile(entry, io.BytesIO(b"tar"))
    registries.extract(tmp_path / "wheel", tmp_path / "out")
    registries.extract(tmp_path / "pack", tmp_path / "out")
    assert (tmp_path / "out/model/a.txt").read_text() == "zip"
    assert (tmp_path / "out/package/b.txt").read_text() == "tar"


def test_members_cannot_escape(tmp_path: Path) -> None:
    """A tar file that writes outside its folder is refused."""
    with tarfile.open(tmp_path / "pack", "w:gz") as pack:
        pack.addfile(tarfile.TarInfo("../escaped"))
    with pytest.raises(tarfile.OutsideDestinationError):
        registries.extract(tmp_path / "pack", tmp_path / "out")
    assert not (tmp_path / "escaped").exists()
