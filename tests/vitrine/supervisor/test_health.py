from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.vitrine.fake_gateway import FakeGateway
from vitrine.supervisor.health import HealthProbe


@pytest.fixture
def page() -> Iterator[str]:
    """A page that answers 200 at / and 503 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_service_that_serves_is_told_from_one_that_is_away(gateway: FakeGateway) -> None:
    """SERVING is `serving`, nobody there is `away`."""
    async with HealthProbe(gateway.address) as probe:
        assert await probe.status() == "serving"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with HealthProbe(f"127.0.0.1:{free.getsockname()[1]}") as probe:
            assert await probe.status() == "away"


async def test_a_page_that_does_not_answer_is_not_serving(gateway: FakeGateway, page: str) -> None:
    """A service with a page serves once the page does too."""
    async with HealthProbe(gateway.address, f"{page}/") as probe:
        assert await probe.status() == "serving"
    async with HealthProbe(gateway.address, f"{page}/other") as probe:
        assert await probe.status() == "not serving"
