from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Answers as Docker does of three images that nothing refers to, and tells what it is asked to remove.
DOCKER = """#!/usr/bin/env bash
case "$1 $2" in
"images --quiet")
  if [ "$4" = dangling=true ]; then printf 'ours\\ntheirs\\nnobodys\\n'; else echo tagged; fi ;;
"image inspect")
  case "${!#}" in
  ours) git rev-parse HEAD ;;
  theirs) echo 0123456789012345678901234567890123456789 ;;
  *) exit 1 ;;
  esac ;;
"image prune") echo everything >>"$REMOVED" ;;
"rmi --force") echo "${@:3}" >>"$REMOVED" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs with a Docker of this kind."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    return tmp_path


def test_what_others_made_stays(programs: Path) -> None:
    """Of images without a name those are removed that were made of a commit of this repository."""
    removed = programs / "removed"
    subprocess.run(
        ["scripts/images.sh", "remove"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "REMOVED": str(removed)},
        check=True,
        timeout=60,
    )
    assert removed.read_text(encoding="utf-8").splitlines() == ["tagged", "ours"]
