"""A caller who never stops searching, and remembers how it was answered."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle

from services.mesh.errors import Unavailable, VitrineError
from tests.drawings import draw
from tests.meshes import LiveMesh
from vitrine import Client, SearchResults

DEADLINE_S = 60.0
_PAUSE_S = 0.05
_K = 5


@dataclass(frozen=True)
class Answer:
    """How one search went: `error` when it failed, `right` whether its hits were as they should be."""

    query: str
    error: VitrineError | None
    degraded: tuple[str, ...]
    right: bool

    @property
    def is_whole(self) -> bool:
        return self.error is None and not self.degraded


@dataclass
class Searcher:
    """Searches `steady` by photo, words and product in turn; every photo is one not seen before."""

    client: Client
    answers: list[Answer] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        seeds = count(1000)
        for ask in cycle((self._photo, self._words, self._product)):
            if self.stopping.wait(_PAUSE_S):
                return
            self.answers.append(self._ask(ask, next(seeds)))

    def _ask(self, ask: Callable[[int], tuple[SearchResults, bool]], seed: int) -> Answer:
        name = ask.__name__.strip("_")
        try:
            results, right = ask(seed)
        except VitrineError as error:
            return Answer(name, error, (), right=True)
        return Answer(name, None, tuple(results.degraded), right)

    def _photo(self, seed: int) -> tuple[SearchResults, bool]:
        file = io.BytesIO()
        draw("Shoes", "Red", seed=seed).save(file, "PNG")
        return self._shoes(self.client.search(image=file.getvalue(), k=_K, max_staleness_s=0))

    def _words(self, seed: int) -> tuple[SearchResults, bool]:
        return self._shoes(self.client.search(text=f"red shoes {seed}", k=_K, max_staleness_s=0))

    def _product(self, seed: int) -> tuple[SearchResults, bool]:
        product = str(1000 + seed % 64)
        results = self.client.search(product=product, k=_K, max_staleness_s=0)
        return results, len(results.hits) == _K and product not in [hit.product.id for hit in results.hits]

    def _shoes(self, results: SearchResults) -> tuple[SearchResults, bool]:
        # Without metadata there is no type to look at.
        known = [hit.product.attributes["type"] for hit in results.hits if hit.product.attributes]
        return results, len(results.hits) == _K and known[:1] in ([], ["Shoes"])

    def check(self) -> None:
        """Hold every answer to what is promised under failure: it comes before the deadline, for one."""
        assert self.answers
        for answer in self.answers:
            assert answer.right, answer
            assert answer.error is None or isinstance(answer.error, Unavailable), answer


@contextmanager
def searching(mesh: LiveMesh) -> Iterator[Searcher]:
    """Search as long as the block lasts; then every answer is checked."""
    with mesh.client("steady", read_s=DEADLINE_S) as client:
        searcher = Searcher(client)
        thread = threading.Thread(target=searcher.run)
        thread.start()
        try:
            yield searcher
        finally:
            searcher.stopping.set()
            thread.join(2 * DEADLINE_S)
        assert not thread.is_alive(), "a search hangs"
        searcher.check()
