"""A shard with rows enough for an approximate index, which a catalogue of drawn photos has not."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from services.mesh import buckets, vectors
from services.vectorsearch.indexes.kinds import MIN_ROWS
from tests.deploy.observability.prometheus import NAMESPACE, Target
from tests.meshes import free_targets
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, vectorsearch_pb2

_DIMENSION = 16
_FRAME = 512


class _Feed(catalog_pb2_grpc.FeedServiceServicer):
    """Tells of so many products, and then of nothing more."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def close(self) -> None:
        """End every stream."""
        self._closed.set()

    def Follow(self, request: Any, _context: Any) -> Iterator[catalog_pb2.FollowResponse]:
        revision = request.after_revision
        drawn = np.random.default_rng(7).normal(size=(MIN_ROWS, _DIMENSION)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        while not self._closed.is_set():
            changes = [
                _change(number + 1, drawn[number])
                for number in range(revision, min(revision + _FRAME, MIN_ROWS))
            ]
            revision += len(changes)
            yield catalog_pb2.FollowResponse(changes=changes, revision=revision, head_revision=MIN_ROWS)
            if not changes:
                self._closed.wait(1.0)

    def Scan(self, _request: Any, context: Any) -> Iterator[catalog_pb2.ScanResponse]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the log reaches back to its beginning")
        yield catalog_pb2.ScanResponse()


def _change(revision: int, vector: Any) -> catalog_pb2.Change:
    product_id = f"p{revision}"
    encoded = vectors.encode(vector, space="clip", model_digest="d1")
    return catalog_pb2.Change(
        revision=revision,
        catalog="large",
        product_id=product_id,
        bucket=buckets.bucket_of("large", product_id),
        rows=catalog_pb2.ProductRows(
            generation="g1",
            photos=[vectorsearch_pb2.PhotoVectors(photo_id="front", vectors=[encoded])],
        ),
    )


@contextmanager
def indexed_shard(directory: Path) -> Iterator[Target]:
    """A real shard with a feed of its own, which builds an approximate index: where it is scraped."""
    directory.mkdir()
    feed = _Feed()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    catalog_pb2_grpc.add_FeedServiceServicer_to_server(feed, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    own, metrics = free_targets(2)
    settings = {
        "port": own.rpartition(":")[2],
        "metrics_port": metrics.rpartition(":")[2],
        "feed_target": f"127.0.0.1:{port}",
        "data_dir": str(directory / "data"),
        "index_kinds": "ivf",
    }
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "services.vectorsearch", *flags], stdout=log, stderr=log
        ) as process,
    ):
        try:
            labels = {"namespace": NAMESPACE, "pod": "vectorsearch-b-0", "component": "vectorsearch"}
            yield Target(metrics, labels | {"set": "b", "shard": "0"})
        finally:
            process.kill()
            feed.close()
            server.stop(None).wait()
