from __future__ import annotations

from pathlib import Path

import pytest

from scripts import preloads


@pytest.mark.parametrize("page", preloads.PAGES, ids=lambda page: page.parent.name)
def test_pages_name_the_modules_that_they_need(page: Path) -> None:
    """A page lists every module that it imports, directly or not, as scripts/preloads.py writes them."""
    html = page.read_text(encoding="utf-8")
    assert html == preloads.with_preloads(html)
    assert '<link rel="modulepreload" href="/js/messages.js">' in html


def test_every_module_is_needed() -> None:
    """No module lies about that no page imports."""
    entries = {"/js/app.js", "/js/console/app.js"}
    needed = entries | {path for entry in entries for path in preloads.needed(entry)}
    present = {f"/{path.relative_to(preloads.STATIC)}" for path in preloads.STATIC.glob("js/**/*.js")}
    # The colours are set before anything is painted, by a script that is no module.
    assert present - needed == {"/js/theme.js"}
