"""A model hub on loopback that holds one file, and can break off while it sends it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPOSITORY = "shop/shoes"
FILE = "open_clip_model.safetensors"


class Hub(ThreadingHTTPServer):
    """`sends` says how many bytes a download gets before its connection is closed; None means all.

    With `hangs` the connection stays open instead, until the server ends. `ranges` are the first bytes that
    downloads asked for.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.digest = hashlib.sha256(content).hexdigest()
        self.files = [FILE]
        self.sends: int | None = None
        self.hangs = False
        self.knows_ranges = True
        self.ranges: list[int] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(content: bytes) -> Iterator[Hub]:
    hub = Hub(content)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != f"/api/models/{REPOSITORY}/paths-info/main":
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        hub = self.server
        size = len(hub.content)
        lfs = {"oid": hub.digest, "size": size, "pointerSize": 100}
        known = [{"type": "file", "path": path, "size": size, "oid": "0", "lfs": lfs} for path in hub.files]
        self._answer(200, json.dumps(known).encode(), {"Content-Type": "application/json"})

    def do_GET(self) -> None:
        hub = self.server
        if self.path != f"/{REPOSITORY}/resolve/main/{FILE}":
            self._answer(404, b"")
            return
        asked = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        hub.ranges.append(asked)
        start = asked if hub.knows_ranges else 0
        self.send_response(206 if hub.knows_ranges else 200)
        self.send_header("Content-Length", str(len(hub.content) - start))
        self.end_headers()
        self.wfile.write(hub.content[start:] if hub.sends is None else hub.content[start:][: hub.sends])
        if hub.sends is not None:
            if hub.hangs:
                hub.ended.wait()
            self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Tests read the hub's fields instead."""
