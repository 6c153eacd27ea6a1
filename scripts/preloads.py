"""Write into the pages which modules they need: `python scripts/preloads.py`.

A browser learns of a module from those that import it, one level after the other. Told at once, it fetches
all of them together (`modulepreload` of the HTML standard).
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parents[1] / "services/gateway/http/static"
PAGES = (STATIC / "index.html", STATIC / "console/index.html")

_ENTRY = re.compile(r'^  <script type="module" src="(/[^"]+)"></script>\n', re.MULTILINE)
_IMPORT = re.compile(r'^(?:import|export)\b[^"]*?\bfrom "(/js/[^"]+)";', re.MULTILINE)
_PRELOADS = re.compile(r'(?:  <link rel="modulepreload" href="[^"]+">\n)*(?=  <script type="module")')


def main() -> None:
    """Rewrite the pages."""
    for page in PAGES:
        page.write_text(with_preloads(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_preloads(html: str) -> str:
    """A page that names all modules that its own imports, directly or not."""
    entry = _ENTRY.search(html)
    if entry is None:
        raise ValueError("the page has no module")
    links = "".join(f'  <link rel="modulepreload" href="{path}">\n' for path in needed(entry[1]))
    return _PRELOADS.sub(links, html, count=1)


def needed(entry: str) -> list[str]:
    """The modules that `entry` stands on, itself left out, in alphabetical order."""
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        imported = _IMPORT.findall((STATIC / waiting.pop().lstrip("/")).read_text(encoding="utf-8"))
        waiting += set(imported) - found
        found.update(imported)
    return sorted(found - {entry})


if __name__ == "__main__":
    main()
