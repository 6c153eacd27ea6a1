from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 1800.0

# By the name of a benchmark, what it prints and the folder of its results.
QuickRuns = Callable[[str], tuple[dict[str, Any], Path]]


@pytest.fixture(scope="package")
def quick_runs(drawn_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickRuns]:
    """Benchmarks, run short and two at a time: they often wait, and no test asks how fast they are."""
    catalog = tmp_path_factory.mktemp("photographed")
    (catalog / "images").mkdir()
    for path in sorted((drawn_catalog / "images").iterdir())[:32]:
        Image.open(path).convert("RGB").save(catalog / "images" / f"{path.stem}.jpg")
    arguments: dict[str, tuple[object, ...]] = {
        "embedder": (catalog,),
        "gpu": (catalog, "--device", "cpu"),
        "vectorsearch": (),
    }
    results = {name: tmp_path_factory.mktemp(name) for name in arguments}
    with ThreadPoolExecutor(2) as pool:
        running: dict[str, Future[dict[str, Any]]] = {
            name: pool.submit(_run, f"benchmarks.{name}", *given, "--quick", "--results", results[name])
            for name, given in arguments.items()
        }
        yield lambda name: (running[name].result(), results[name])
        pool.shutdown(cancel_futures=True)


def _run(module: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
