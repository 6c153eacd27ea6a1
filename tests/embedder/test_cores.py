from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from services.embedder import cores
from services.embedder.cores import Cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 16 cores, and the file that may hold its container's quota."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", quota)
    return quota


@pytest.mark.parametrize(
    ("quota", "environment", "count"),
    [
        (None, None, 16),
        ("max 100000", None, 16),
        ("250000 100000", None, 3),
        ("10000 100000", None, 1),
        ("250000 100000", "2", 2),
        (None, "many", 16),
    ],
)
def test_cores_are_what_the_container_may_use(
    machine: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, environment: str | None, count: int
) -> None:
    """The smallest of affinity, quota and OMP_NUM_THREADS counts."""
    if quota:
        machine.write_text(f"{quota}\n")
    if environment:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    assert cores.available() == count


def test_a_pass_alone_has_all_cores_and_several_share_them() -> None:
    """The number of threads is set for the calling thread alone, by how many passes run at its start."""
    shared = Cores(4)
    seen: list[int] = []

    def second() -> None:
        with shared.shared():
            seen.append(torch.get_num_threads())

    with shared.shared():
        seen.append(torch.get_num_threads())
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 4
    with shared.shared():
        seen.append(torch.get_num_threads())
    torch.set_num_threads(cores.available())
    assert seen == [4, 2, 4]


def test_without_openmp_passes_run_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build of torch that brings no OpenMP is served with its own number of threads."""
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    before = torch.get_num_threads()
    with Cores(3).shared():
        assert torch.get_num_threads() == before
