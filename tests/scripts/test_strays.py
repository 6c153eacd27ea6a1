from __future__ import annotations

import pytest

from scripts.strays import strays

# In two halves each: this file too is looked through.
HOST = f"files.{'pythonhosted'}.org"
ROOT_HOME = f"{'/'}root"
WORK = f"{'/'}work"


@pytest.mark.parametrize(
    "line",
    [
        f"--index-url https://{HOST}/simple",
        f"a {HOST}",
        f'path = "{ROOT_HOME}/x"',
        f"cd {WORK}/y",
        f"--prefix={ROOT_HOME}/z",
    ],
)
def test_hosts_and_machine_paths_are_found(line: str) -> None:
    """A registry's host and a path of one machine are told with their line."""
    assert [number for number, _ in strays(f"fine\n{line}\n".encode())] == [2]


@pytest.mark.parametrize(
    "line",
    [f"$HOME{WORK}/x", f"src{ROOT_HOME}/x", f"~{ROOT_HOME}/x", "not-a-pypi-organisation", "the /works/"],
)
def test_what_is_no_stray_is_let_be(line: str) -> None:
    """Relative paths and words that merely look alike are fine."""
    assert strays(line.encode()) == []


def test_binary_files_are_not_read() -> None:
    """Weights may hold any bytes."""
    assert strays(b"\0\1" + HOST.encode()) == []
