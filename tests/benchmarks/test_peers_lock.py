from __future__ import annotations

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def test_peers_run_on_our_versions_of_what_we_share() -> None:
    """A package that both use is the same release, so that it makes no difference between them."""
    ours, theirs = (
        dict(PIN.findall((REQUIREMENTS / lock).read_text())) for lock in ("all-cpu.txt", "bench.txt")
    )
    assert "litserve" in theirs
    assert {name: ours[name] for name in theirs.keys() & ours.keys()} == {
        name: theirs[name] for name in theirs.keys() & ours.keys()
    }
