from __future__ import annotations

import asyncio

import pytest

from services.gateway.directory import CatalogDirectory
from services.gateway.store.interface import CatalogRecord
from services.mesh.errors import NotFound, Unavailable


class Store:
    """Knows two catalogues and one that is being deleted, can be away, and can hang."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_away = False
        self.hangs = False
        self.known = {"a", "b", "going"}

    async def catalog(self, catalog: str) -> CatalogRecord | None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise Unavailable("away")
        if catalog not in self.known:
            return None
        return CatalogRecord(catalog, "g1", (), 0, is_deleting=catalog == "going")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is not old because the machine stood still."""
    monkeypatch.setattr("services.gateway.directory.FRESH_S", 3_600)


async def test_a_catalogue_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is asked now and then, and what was seen serves for as long as it is away or hangs."""
    store = Store()
    directory = CatalogDirectory(store, timeout_s=0.05)  # type: ignore[arg-type]  # All it needs of a store.
    for _ in range(3):
        assert (await directory.get("a")).catalog == "a"
    assert store.calls == 1
    with pytest.raises(NotFound):
        await directory.get("c")
    monkeypatch.setattr("services.gateway.directory.FRESH_S", 0)
    store.is_away = True
    assert (await directory.get("a")).catalog == "a"
    with pytest.raises(Unavailable):
        await directory.get("b")
    store.is_away, store.hangs = False, True
    assert (await directory.get("a")).catalog == "a"
    with pytest.raises(Unavailable, match="has not answered"):
        await directory.get("b")


async def test_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for longest ago is forgotten when there are too many."""
    monkeypatch.setattr("services.gateway.directory.MAX_REMEMBERED", 1)
    store = Store()
    directory = CatalogDirectory(store, timeout_s=60)  # type: ignore[arg-type]  # All it needs of a store.
    for catalog in ("a", "b", "a"):
        await directory.get(catalog)
    assert store.calls == 3


async def test_one_that_is_being_deleted_is_not_there() -> None:
    """A catalogue is gone for callers as soon as its deletion has begun."""
    directory = CatalogDirectory(Store(), timeout_s=60)  # type: ignore[arg-type]  # All it needs of a store.
    with pytest.raises(NotFound):
        await directory.get("going")


async def test_what_was_changed_here_is_read_again() -> None:
    """A catalogue that is forgotten is asked for anew, and one that has gone is not remembered."""
    store = Store()
    directory = CatalogDirectory(store, timeout_s=60)  # type: ignore[arg-type]  # All it needs of a store.
    await directory.get("a")
    store.known = set()
    await directory.get("a")
    directory.forget("a")
    directory.forget("never seen")
    with pytest.raises(NotFound):
        await directory.get("a")
    store.is_away = True
    with pytest.raises(Unavailable):
        await directory.get("a")
