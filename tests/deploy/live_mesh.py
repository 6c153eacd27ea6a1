"""The mesh as the chart lays it out, as processes on loopback, and every connection between them."""

from __future__ import annotations

import csv
import functools
import http.server
import io
import os
import socket
import socketserver
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil

from services.mesh.models_dir import models_dir_default
from tests.consistency.processes import Process
from tests.deploy.edges import Edge
from tests.drawings import draw
from tests.engines import redis
from tests.engines.mongo.engine import MongoEngine
from tests.meshes import command, eventually, free_targets
from vitrine import Client
from vitrine.client.operations import Timeouts
from vitrine.v1 import common_pb2, search_pb2, search_pb2_grpc

SHARDS = 2
CATALOG = "edges"
_LOOK_EVERY_S = 0.2
_JOB_TIMEOUT_S = 600.0
_READ_S = 60.0
# Of the gateway, with a deadline each: a machine that stands still is not to change who talks to whom.
_STAGES = ("EMBED", "SHARD", "RANK", "STORE", "CACHE", "FETCH")


@dataclass
class Wires:
    """Which process listens where, and who has been seen connected to it."""

    listeners: dict[int, tuple[str, str]] = field(default_factory=dict)
    processes: dict[int, str] = field(default_factory=dict)
    seen: set[Edge] = field(default_factory=set)
    # The job that runs.
    job: str = ""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Note every connection that there is."""
        for pid, source in list(self.processes.items()):
            # One that has ended has no connections any more.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                self._note(psutil.Process(pid), source)

    def _note(self, process: psutil.Process, source: str) -> None:
        for connection in process.net_connections("tcp"):
            # What listens has nobody at its other end.
            port = connection.raddr.port if connection.raddr else 0  # type: ignore[redundant-expr]  # psutil's types know no such
            if destination := self.listeners.get(port):
                self.seen.add(Edge(source, *destination))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look all the time meanwhile."""

        def watch() -> None:
            while not self._stopped.wait(_LOOK_EVERY_S):
                self.look()

        thread = threading.Thread(target=watch, name="wires")
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


class Photos(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A host of pictures on the internet. It looks who is asking before it answers."""

    daemon_threads = True

    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        super().__init__(("127.0.0.1", 0), _Picture)

    def url(self, number: int) -> str:
        """Address of a picture."""
        return f"http://127.0.0.1:{self.server_port}/{number}.jpg"


class _Picture(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Photos)
        self.server.wires.look()
        content = picture(int(self.path.strip("/").partition(".")[0]))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@functools.cache
def picture(number: int) -> bytes:
    """A drawn photo as JPEG."""
    buffer = io.BytesIO()
    draw("Shoes", "Red", seed=number).save(buffer, "JPEG")
    return buffer.getvalue()


class Gate(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Stands before a server for jobs, which are gone soon: notes them. Nobody else is told of it."""

    daemon_threads = True

    def __init__(self, wires: Wires, behind: int) -> None:
        self.wires = wires
        self.behind = behind
        super().__init__(("127.0.0.1", 0), _Passage)

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Passage(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Gate)
        wires = self.server.wires
        # It does not look for whom it is: a connection that takes seconds is given up.
        wires.seen.add(Edge(wires.job, *wires.listeners[self.server.server_address[1]]))
        with socket.create_connection(("127.0.0.1", self.server.behind)) as behind:
            there = threading.Thread(target=_pass_on, args=(self.request, behind))
            there.start()
            _pass_on(behind, self.request)
            there.join()


def _pass_on(source: socket.socket, destination: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            destination.sendall(data)
    # The other end sees that there is no more to come.
    with suppress(OSError):
        destination.shutdown(socket.SHUT_WR)


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name=type(server).__name__)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Sink(grpc.GenericRpcHandler):
    """Takes any call with an empty answer, which is what a collector of traces says when all is well.

    It looks who is calling before it answers: some tell what they have left when they end.
    """

    def __init__(self, wires: Wires) -> None:
        self._wires = wires

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        self._wires.look()
        return b""


@contextmanager
def _sink(wires: Wires) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Sink(wires)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def _port(target: str) -> int:
    return int(target.rpartition(":")[2])


class LiveEdges:
    """The mesh and its wires."""

    def __init__(self, directory: Path, wires: Wires, outside: Mapping[str, str], photos: Photos) -> None:
        self.wires = wires
        self.photos = photos
        self._directory = directory
        # gRPC, metrics and HTTP of every process. What has no HTTP leaves that port alone.
        parts = ["gateway", "feed", "embedder", "ranker", *(f"vectorsearch-{i}" for i in range(SHARDS))]
        targets = free_targets(3 * len(parts))
        self.grpc, self.metrics, self.http = (
            dict(zip(parts, targets[start::3], strict=True)) for start in range(3)
        )
        shards = [name for name in parts if name.startswith("vectorsearch")]
        gateway = {
            "STORE_URL": outside["store"],
            "CACHE_URL": outside["cache"],
            "EMBEDDER": self.grpc["embedder"],
            "RANKER": self.grpc["ranker"],
            "SHARDS": ",".join(self.grpc[name] for name in shards),
            "FETCH_ALLOWED_HOSTS": '["127.0.0.1"]',
            **dict.fromkeys((f"{stage}_TIMEOUT_S" for stage in _STAGES), _READ_S),
        }
        models: dict[str, object] = {"MODELS_DIR": models_dir_default()}
        own: dict[str, dict[str, object]] = {
            "gateway": gateway | {"ROLE": "api", "HTTP_PORT": _port(self.http["gateway"])},
            "feed": gateway | {"ROLE": "feed"},
            "embedder": models | {"FETCH_ALLOWED_HOSTS": '["127.0.0.1"]', "FETCH_TIMEOUT_S": _READ_S},
            "ranker": models,
        }
        for number, name in enumerate(shards):
            own[name] = {
                "DATA_DIR": directory / name,
                "FEED_TARGET": self.grpc["feed"],
                "FEED_BACKOFF_MAX_S": 0.5,
                "SHARD": number,
                "SHARDS": SHARDS,
            }
        # For jobs, which are short.
        self.gates = {name: self._gate(name) for name in ("gateway", *shards)}
        common = {"OTLP_ENDPOINT": outside["traces"], "TRACE_SAMPLE_RATIO": 1}
        self.processes = [
            self._process(name, own[name] | common)
            for name in ("embedder", *shards, "ranker", "feed", "gateway")
        ]

    def _process(self, name: str, settings: Mapping[str, object]) -> Process:
        component = name.partition("-")[0]
        module = "gateway" if component == "feed" else component
        listening = {"PORT": _port(self.grpc[name]), "METRICS_PORT": _port(self.metrics[name])}
        self.wires.listeners |= {
            listening["PORT"]: (component, "grpc"),
            listening["METRICS_PORT"]: (component, "metrics"),
        }
        if name == "gateway":
            self.wires.listeners[_port(self.http[name])] = (component, "http")
        return Process(
            name,
            f"services.{module}",
            self.grpc[name],
            self._directory / f"{name}.log",
            environment={
                f"VITRINE_{module.upper()}_{key}": str(value)
                for key, value in {**settings, **listening}.items()
            },
        )

    def _gate(self, name: str) -> Gate:
        gate = Gate(self.wires, _port(self.grpc[name]))
        self.wires.listeners[_port(gate.target)] = (name.partition("-")[0], "grpc")
        return gate

    async def start(self) -> None:
        """Start every process, and wait until it serves."""
        for process in self.processes:
            process.launch()
        for process in self.processes:
            await process.ready()
            assert process._process is not None
            self.wires.processes[process._process.pid] = process.name.partition("-")[0]

    async def work(self) -> None:
        """Do all that the mesh is for: each job of the chart, searches, and the scrapes of Prometheus."""
        self.job("import", "index", self.catalog_folder(6))
        self.search()
        self.job("test", "smoke")
        # Which says, after it has asked, that there are no other models to build it with.
        self.job("generation", "generations", "create", "--wait", status=1)
        shards = [gate.target for name, gate in self.gates.items() if name.startswith("vectorsearch")]
        self.job("snapshot", "shards", "snapshot", *shards)
        self.scrape()

    async def stop(self) -> None:
        """Ask every process to end, those first that call others: what they still have to tell is told."""
        # Whatever lasts is there now, however seldom anybody has come round to look.
        self.wires.look()
        for process in reversed(self.processes):
            await process.stop()

    def end(self) -> None:
        """Kill every process."""
        for process in self.processes:
            process.end()

    def job(self, source: str, *arguments: object, status: int = 0) -> None:
        """Run a `vitrine` command as one of the chart's jobs does; it must end with `status`."""
        self.wires.job = source
        ended = subprocess.run(
            command(*arguments),
            check=False,
            env=os.environ | {"VITRINE_SERVER": self.gates["gateway"].target, "VITRINE_CATALOG": CATALOG},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_JOB_TIMEOUT_S,
        )
        assert ended.returncode == status, ended.stdout

    def scrape(self) -> None:
        """Read everybody's metrics, as Prometheus."""
        for target in self.metrics.values():
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=_READ_S) as answer:
                self._look_as("prometheus")
                answer.read()

    def search(self) -> None:
        """Search by what is known, by photo and by a photo's address, over gRPC and HTTP, as a client."""
        with Client(self.grpc["gateway"], catalog=CATALOG, timeouts=Timeouts(read_s=_READ_S)) as client:
            eventually(
                lambda: len(client.search(image=picture(0), k=3).hits) == 3,
                timeout_s=_READ_S,
                what="the products are found",
            )
            self._look_as("clients")
        with grpc.insecure_channel(self.grpc["gateway"]) as channel:
            search: Any = search_pb2_grpc.SearchServiceStub(channel)
            search.Search(
                search_pb2.SearchRequest(
                    catalog=f"catalogs/{CATALOG}",
                    parts=[search_pb2.QueryPart(image=common_pb2.Image(uri=self.photos.url(99)))],
                    k=3,
                ),
                timeout=_READ_S,
            )
            self._look_as("clients")
        with urllib.request.urlopen(f"http://{self.http['gateway']}/healthz", timeout=_READ_S) as answer:
            self._look_as("clients")
            answer.read()

    def _look_as(self, source: str) -> None:
        me = os.getpid()
        found = Wires(self.wires.listeners, {})
        found._note(psutil.Process(me), source)
        wanted = {"metrics"} if source == "prometheus" else {"grpc", "http"}
        self.wires.seen |= {edge for edge in found.seen if edge.port in wanted}

    def catalog_folder(self, count: int) -> Path:
        """A table of products, the photos of some in files and of others on the internet."""
        folder = self._directory / "catalog"
        (folder / "images").mkdir(parents=True)
        with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "title", "image"])
            for number in range(count):
                (folder / "images" / f"{number}.jpg").write_bytes(picture(number))
                rows.writerow(
                    [
                        f"p{number}",
                        f"Shoe {number}",
                        self.photos.url(100 + number) if number % 2 else f"{number}.jpg",
                    ]
                )
        return folder


@contextmanager
def live_edges(directory: Path) -> Iterator[LiveEdges]:
    """A mesh that is not started yet, watched, with a MongoDB, a Redis, a collector and a host of photos."""
    wires = Wires()
    with ExitStack() as stack:
        mongo = stack.enter_context(MongoEngine(directory / "mongo"))
        cache = stack.enter_context(redis.running(directory))
        traces = stack.enter_context(_sink(wires))
        photos = Photos(wires)
        stack.enter_context(_serving(photos))
        wires.listeners |= {
            mongo.port: ("store", ""),
            cache.port: ("cache", ""),
            traces: ("traces", ""),
            photos.server_port: ("internet", ""),
        }
        mesh = LiveEdges(
            directory,
            wires,
            {"store": mongo.url(), "cache": cache.url, "traces": f"http://127.0.0.1:{traces}"},
            photos,
        )
        stack.callback(mesh.end)
        for gate in mesh.gates.values():
            stack.enter_context(_serving(gate))
        stack.enter_context(wires.watched())
        yield mesh
