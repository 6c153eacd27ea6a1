"""Columns and prompts written by hand, for the ranker's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.ranker import taxonomy
from services.ranker.candidates import Candidates, Column, Space
from services.ranker.semantics import Floats, Probe

DIGEST = "ab" * 32


def column(*given: tuple[str, float] | str | None) -> Column:
    """A label column of one entry a candidate: a stated value, an inferred (value, probability), or None."""
    values = sorted({entry if isinstance(entry, str) else entry[0] for entry in given if entry is not None})
    codes = [-1 if e is None else values.index(e if isinstance(e, str) else e[0]) for e in given]
    shares = [0.0 if e is None else 1.0 if isinstance(e, str) else e[1] for e in given]
    return Column(tuple(values), np.array(codes, dtype=np.int64), np.array(shares))


def candidates(
    ids: Sequence[str],
    cosines: Mapping[str, Sequence[float]] | None = None,
    labels: Mapping[str, Column] | None = None,
) -> Candidates:
    """Candidates with a neutral cosine of 0.4."""
    spaces = [
        Space(name, 0.4, np.array(values, dtype=np.float64)) for name, values in (cosines or {}).items()
    ]
    return Candidates(list(ids), spaces, dict(labels or {}))


def write_semantics(models_dir: Path, digest: str = DIGEST, scale: float = 100.0) -> int:
    """Prompts with an axis of the space for each label of each task; the dimension of that space."""
    folder = models_dir / "semantics"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {task: tuple(labels) for task, labels in taxonomy.prompts().items()}
    dimension = sum(len(labels) for labels in tasks.values())
    arrays: dict[str, Any] = {}
    start = 0
    for task, labels in tasks.items():
        matrix = np.zeros((len(labels), dimension), dtype=np.float32)
        matrix[np.arange(len(labels)), start + np.arange(len(labels))] = 1
        start += len(labels)
        arrays[f"{task}.labels"] = np.array(labels)
        arrays[f"{task}.matrix"] = matrix
        arrays[f"{task}.bias"] = np.zeros(len(labels), dtype=np.float32)
        arrays[f"{task}.scale"] = np.float32(scale)
    np.savez(folder / f"{digest}.npz", **arrays)
    return dimension


def random_probe(
    inputs: Mapping[str, tuple[str, int]], labels: Sequence[str], *, hidden: Sequence[int] = (), seed: int = 0
) -> Probe:
    """A probe of random layers; `inputs` are the digest and the dimension of each space."""
    rng = np.random.default_rng(seed)
    widths = [sum(dimension for _, dimension in inputs.values()), *hidden, len(labels)]

    def numbers(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    return Probe(
        inputs=tuple((space, digest) for space, (digest, _) in inputs.items()),
        labels=tuple(labels),
        layers=tuple((numbers(out, into), numbers(out)) for into, out in pairwise(widths)),
        temperature=1.7,
    )


def add_probe(models_dir: Path, task: str, probe: Probe, **changes: Any) -> Path:
    """Put a probe beside the prompts of `DIGEST`; `changes` are arrays by their names within the probe."""
    path = models_dir / "semantics" / f"{DIGEST}.npz"
    arrays: dict[str, Any] = {
        "labels": np.array(probe.labels),
        "spaces": np.array([space for space, _ in probe.inputs]),
        "digests": np.array([digest for _, digest in probe.inputs]),
        "temperature": np.float32(probe.temperature),
    }
    for number, (weight, bias) in enumerate(probe.layers):
        arrays |= {f"weight{number}": weight, f"bias{number}": bias}
    with np.load(path) as stored:
        kept: dict[str, Any] = {name: array for name, array in stored.items() if "probes." not in name}
    np.savez(path, **kept, **{f"probes.{task}.{name}": array for name, array in (arrays | changes).items()})
    return path


def axis(label: str) -> npt.NDArray[np.float32]:
    """The unit vector of a label in the space of `write_semantics`."""
    labels = [name for task in taxonomy.prompts().values() for name in task]
    vector: npt.NDArray[np.float32] = np.eye(len(labels), dtype=np.float32)[labels.index(label)]
    return vector
