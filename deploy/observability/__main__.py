"""Write the dashboards into the chart; with `--check` only say whether those there are up to date."""

from __future__ import annotations

import argparse
import sys

from deploy.observability.boards import BOARDS, FOLDER, path, text


def main() -> int:
    """The exit status: 1 where `--check` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m deploy.observability", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something differs")
    is_check = parser.parse_args().check
    wanted = {path(board): text(board) for board in BOARDS}
    stale = sorted(
        file
        for file in {*wanted, *FOLDER.glob("*.json")}
        if not file.exists() or file.read_text(encoding="utf-8") != wanted.get(file)
    )
    if is_check:
        for file in stale:
            sys.stderr.write(
                f"{file.name} is not what the code makes: run `python -m deploy.observability`\n"
            )
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for file in stale:
        if file in wanted:
            file.write_text(wanted[file], encoding="utf-8")
        else:
            file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
