"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.vector_libraries import LIBRARIES


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and seconds of every part.

    `row_counts` are of 512-d; `hybrid_rows` and `restart_rows` of all three spaces. `singles` are calls of
    one caller in a block, `judged` the queries whose answers are compared with the reference.
    """

    callers: int = 64
    queries: int = 1024
    judged: int = 64
    row_counts: tuple[int, ...] = (47_000, 200_000)
    large_rows: int = 1_000_000
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    sweep_passes: int = 2
    sweep_s: float = 0.3
    rounds: int = 4
    bare_s: float = 1.0
    served_s: float = 3.0
    singles: int = 200
    filter_rounds: int = 3
    filter_singles: int = 60
    kinds: tuple[str, ...] = ("flat", "flat16", "sq8", "ivf", "hnsw")
    kind_rounds: int = 2
    kind_s: float = 2.0
    build_s: float = 900.0
    writing_rounds: int = 3
    writing_s: float = 6.0
    writes_per_s: float = 1000.0
    hybrid_rows: int = 47_000
    restart_rows: int = 200_000
    restarts: int = 2
    peer_rows: int = 47_000
    peers: tuple[str, ...] = tuple(LIBRARIES)
    peer_s: float = 3.0


FULL = Plan()

# Every part once and short: to see that all of it works, not to know how fast.
QUICK = Plan(
    callers=8,
    queries=32,
    judged=8,
    row_counts=(2000,),
    large_rows=4000,
    batches=(1, 16),
    sweep_passes=1,
    sweep_s=0.05,
    rounds=1,
    bare_s=0.1,
    served_s=0.3,
    singles=10,
    filter_rounds=1,
    filter_singles=5,
    kinds=("sq8",),
    kind_rounds=1,
    kind_s=0.3,
    build_s=5.0,
    writing_rounds=1,
    writing_s=0.5,
    hybrid_rows=1000,
    restart_rows=1000,
    restarts=1,
    peer_rows=1000,
    peers=("faiss_naive", "hnswlib_hnsw"),
    peer_s=0.3,
)
