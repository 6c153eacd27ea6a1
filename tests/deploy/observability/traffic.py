"""What shops and shoppers do: searches of all kinds, feedback and writes, for as long as it takes."""

from __future__ import annotations

import io
import itertools
import json
import random
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from services.mesh.errors import VitrineError
from tests.drawings import COLOURS, draw
from tests.meshes import LiveMesh
from vitrine import Client, Photo, Product

CATALOG = "drawn"
_READ_S = 60.0
_PAUSE_S = 0.1
_NOBODY = {"gender": "Nobody"}


class Traffic:
    """Makes rounds of everything, and counts them."""

    def __init__(self, mesh: LiveMesh) -> None:
        self._mesh = mesh
        self.rounds = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make rounds meanwhile, one after another."""
        stopped = threading.Event()

        def run() -> None:
            with self._mesh.client(CATALOG, read_s=_READ_S) as client:
                for number in itertools.count():
                    # A shard that stands still is a matter of the test that stopped it, and so is what is not
                    # found then.
                    with suppress(VitrineError, OSError, IndexError):
                        self._round(client, number)
                        self.rounds += 1
                    if stopped.wait(_PAUSE_S):
                        return

        thread = threading.Thread(target=run, name="traffic")
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _round(self, client: Client, number: int) -> None:
        chance = random.Random(number)
        colour = chance.choice(list(COLOURS))
        found = client.search(image=_photo(colour, number), k=5)
        hit = found.hits[0].product.id
        client.feedback(found.query_id, hit, "click")
        client.search(text=f"{colour.lower()} shoes", k=5, max_staleness_s=60)
        client.search(product=hit, k=5, max_staleness_s=0, profile="clip")
        client.search(product=hit, text="shoes", k=5)
        client.search(text=f"bag {number}", filter=_NOBODY, k=5)
        self._search_over_http(f"{colour} dress")
        photo = Photo(_photo(colour, -number), "front")
        client.upsert([Product(f"new-{number % 8}", title=f"{colour} shoe", photos=[photo])])
        if number % 4 == 3:
            client.delete(f"new-{number % 8}")

    def _search_over_http(self, text: str) -> None:
        request = urllib.request.Request(
            f"{self._mesh.layout.url}/v1/catalogs/{CATALOG}:search",
            json.dumps({"parts": [{"text": text}], "k": 3}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_READ_S) as answer:
            answer.read()


def _photo(colour: str, seed: int) -> bytes:
    file = io.BytesIO()
    draw("Shoes", colour, seed=seed).save(file, "JPEG")
    return file.getvalue()
