from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "requirements" / lock).read_text()))


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_name_no_host(lock: Path) -> None:
    """Pins say what to install and with which hash, never from where."""
    text = lock.read_text()
    assert "://" not in text
    assert text.count("\n    --hash=sha256:") >= len(PIN.findall(text)) > 0


@pytest.mark.parametrize("service", ["gateway", "ranker"])
def test_light_services_carry_neither_torch_nor_faiss(service: str) -> None:
    """Nothing that the gateway or the ranker pulls in is torch, FAISS or a CUDA library."""
    heavy = re.compile(r"torch.*|faiss.*|open-clip.*|timm|triton|nvidia-.*|cuda-.*")
    assert [name for name in pins(f"{service}.txt") if heavy.fullmatch(name)] == []
    assert "torch" in pins("all-cpu.txt")


@pytest.mark.parametrize("service", ["gateway", "ranker"])
def test_a_package_has_one_version_everywhere(service: str) -> None:
    """What a service is shipped with is what the tests ran with."""
    everything = pins("all-cpu.txt")
    assert {name: everything.get(name) for name in pins(f"{service}.txt")} == pins(f"{service}.txt")


def test_locks_follow_the_project() -> None:
    """Every package that pyproject names for a CPU machine is pinned."""
    extras: dict[str, list[str]] = project()["optional-dependencies"]
    wanted = list(project()["dependencies"])
    for extra in ("embedder", "vectorsearch-cpu", "ranker", "gateway", "trainer", "dev"):
        wanted += extras[extra]
    names = {re.split(r"[\[<>=~; ]", requirement, maxsplit=1)[0] for requirement in wanted}
    assert names - {"vitrine"} - pins("all-cpu.txt").keys() == set()


def test_stubs_run_on_the_oldest_allowed_libraries() -> None:
    """The generated stubs refuse a grpcio or protobuf older than the generator; so does the project."""
    stub = (ROOT / "vitrine/v1/search_pb2_grpc.py").read_text()
    messages = (ROOT / "vitrine/v1/search_pb2.py").read_text()
    grpcio = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", stub)
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", messages)
    assert grpcio is not None
    assert protobuf is not None
    assert f"grpcio>={grpcio[1]}" in project()["dependencies"]
    assert f"protobuf>={protobuf[1]}" in project()["dependencies"]
