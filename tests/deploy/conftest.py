from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.deploy.charts import EXAMPLES, HELMS, VERSIONS

_COUNTED = pytest.StashKey[Counter[str]]()
_ENDED = pytest.StashKey[pytest.Session]()


class Counts:
    """How much has been checked, of what."""

    def __init__(self, counter: Counter[str]) -> None:
        self._counter = counter

    def add(self, what: str, number: int = 1) -> None:
        """Count some more."""
        self._counter[what] += number

    def most(self, what: str, number: int) -> None:
        """Keep the largest number."""
        self._counter[what] = max(self._counter[what], number)


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> Counts:
    """What the last line of `make chart` is made of."""
    return Counts(pytestconfig.stash[_COUNTED])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chart-line", action="store_true", help="end with a line that says what was checked")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTED] = Counter()


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    yield
    session = config.stash.get(_ENDED, None)
    # The option is unknown where tests besides these are run.
    if session is None or not config.getoption("--chart-line", default=False):
        return
    counted = config.stash[_COUNTED]
    print(  # noqa: T201  (what `make chart` ends with)
        f"chart: {len(EXAMPLES)} examples x {len(VERSIONS)} Kubernetes versions x {len(HELMS)} helms,"
        f" {counted['manifests']} manifests valid, {counted['refusals']} wrong values refused,"
        f" {counted['policies']} policies x {counted['objects']} objects,"
        f" {counted['mutations']} breaches noticed, {counted['edges']} network edges,"
        f" {counted['settings']} settings, {counted['dockerfiles']} Dockerfile:"
        f" {session.testsfailed} problems"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_ENDED] = session
