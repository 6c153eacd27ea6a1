"""What docs/quality.md tells: the shipped models and the ranker on products that nothing was trained on.

`python -m benchmarks.quality FOLDER [MODELS_DIR]` takes the folder of catalogues and writes
`results/quality.json`. `--held-out FILE` only writes the ids that training must leave out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# As the ranker is run: threads that wait for each other take a hundred times as long on busy cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from benchmarks import report
from services.mesh.models_dir import models_dir_default
from services.trainer import catalogues as reading
from services.trainer import splits
from services.trainer.evaluation import document
from services.trainer.evaluation.measurement import Choices, Evaluation
from vitrine.cli import evaluate

_FIRST = 10
# Those that every catalogue may have; genders and categories one by one are for `vitrine eval` to tell.
_SLICES = ("footwear", "accessories", "phone_photos", "men_women")


@dataclass(frozen=True, slots=True)
class Part:
    """A catalogue and how much of it is held out for the test, and for choosing weights."""

    catalogue: str
    test: float
    validation: float


PARTS = (
    Part("fashion-products", 0.35, 0.1),
    Part("fashion-products-44k-60px", 0.055, 0.02),
    Part("luma-multiview", 0.4, 0.05),
    Part("clothing-dataset-small", 0.4, 0.05),
)
# Never trained on, so all of it is a test.
FOREIGN = ("hm-articles",)


def held_out(catalogues: Path) -> list[str]:
    """The ids of all products that training must leave out, sorted."""
    ids: set[str] = set()
    for part in PARTS:
        with _split(catalogues, part) as folder:
            for name in ("test.txt", "validation.txt"):
                ids |= set((folder / name).read_text(encoding="utf-8").split())
    return sorted(ids)


def measure(catalogues: Path, models_dir: Path) -> dict[str, Any]:
    """The figures of every catalogue's test part, as `vitrine eval` tells them."""
    found: dict[str, Any] = {}
    for part in PARTS:
        with _split(catalogues, part) as folder:
            found |= _figures(part.catalogue, catalogues / part.catalogue, models_dir, folder / "test.txt")
    for name in FOREIGN:
        found |= _figures(name, catalogues / name, models_dir, None)
    return found


@contextlib.contextmanager
def _split(catalogues: Path, part: Part) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        photos = reading.read(catalogues / part.catalogue)
        splits.write(photos, Path(scratch), validation_share=part.validation, test_share=part.test)
        yield Path(scratch)


def _figures(name: str, folder: Path, models_dir: Path, products: Path | None) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with _unpacked(folder) as directory:
        for known in (False, True):
            report.progress(f"{name}, {'metadata' if known else 'photos alone'}")
            evaluation = evaluate.measure(
                directory, Choices(query_metadata=known), products=products, models_dir=models_dir
            )
            told = document.of(evaluation)
            told["slices"] = {name: each for name, each in told["slices"].items() if name in _SLICES}
            if known:
                told["visual_overlap_at_10"] = _overlap(evaluation)
            figures[f"{name}, metadata known" if known else name] = told
    return figures


@contextlib.contextmanager
def _unpacked(folder: Path) -> Iterator[Path]:
    archives = list(folder.glob("*.zip"))
    if not archives:
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archives[0]) as archive:
        archive.extractall(scratch)
        yield Path(scratch)


def _overlap(evaluation: Evaluation) -> float | None:
    """How many of the first ten are those of the right products that look most alike, on average.

    Right are products of the query's gender and category; queries with fewer than ten do not count.
    """
    bench, catalogue = evaluation.bench, evaluation.catalogue
    labels = [catalogue.codes(name) for name in ("gender", "category")]
    profile = bench.profiles[0]
    shares = []
    for query in evaluation.queries.tolist():
        measured = bench.measure(profile, query)
        right = np.all([codes[measured.products] == codes[query] for codes in labels], axis=0)
        if right.sum() < _FIRST or any(codes[query] < 0 for codes in labels):
            continue
        visual = _score(profile.weights, measured.terms, "visual.")
        order = np.argsort(-_score(profile.weights, measured.terms, ""), kind="stable")[:_FIRST]
        alike = np.flatnonzero(right)
        alike = alike[np.argsort(-visual[alike], kind="stable")[:_FIRST]]
        shares.append(len(set(alike.tolist()) & set(order.tolist())) / _FIRST)
    return float(np.mean(shares)) if shares else None


def _score(weights: Mapping[str, float], terms: Mapping[str, Any], prefix: str) -> Any:
    return sum(weights[name] * values for name, values in terms.items() if name.startswith(prefix))


def main(arguments: Sequence[str]) -> None:
    """Measure and publish, or write the held-out ids."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("catalogues", type=Path)
    parser.add_argument("models_dir", type=Path, nargs="?", default=models_dir_default())
    parser.add_argument("--held-out", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.held_out:
        chosen.held_out.write_text("\n".join(held_out(chosen.catalogues)) + "\n", encoding="utf-8")
        return
    report.publish("quality", measure(chosen.catalogues, chosen.models_dir.expanduser()), {})


if __name__ == "__main__":
    main(sys.argv[1:])
