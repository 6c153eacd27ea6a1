"""Refuse registry hosts and paths of one machine in the files of the repository.

A host in a lock file or a script breaks every machine that reaches its registries by another name, and a path
of the machine it was written on means nothing elsewhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each host in two halves, so that this file does not hold what it looks for.
HOSTS = (
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("debian", ".org"),
    ("docker", ".io"),
    ("ghcr", ".io"),
    ("gcr", ".io"),
    ("quay", ".io"),
)
STRAY = re.compile(
    rb"\b(?:" + b"|".join(re.escape("".join(host).encode()) for host in HOSTS) + rb")\b"
    rb"|(?<![\w.~})>/-])/(?:root|work)/"
)


def tracked() -> list[Path]:
    """The files that are, or would be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = {name for name in listing.stdout.decode().split("\0") if name}
    return [path for name in sorted(names) if (path := ROOT / name).is_file()]


def strays(content: bytes) -> list[tuple[int, str]]:
    """Line number and matched text of each stray in `content`; nothing in a binary file."""
    if b"\0" in content[:8192]:
        return []
    return [
        (number, match.group().decode())
        for number, line in enumerate(content.splitlines(), start=1)
        for match in STRAY.finditer(line)
    ]


def main() -> int:
    """Print each stray as path:line: text; exit 1 when there is one."""
    found = False
    for path in tracked():
        for number, text in strays(path.read_bytes()):
            found = True
            print(f"{path.relative_to(ROOT)}:{number}: {text}", file=sys.stderr)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
