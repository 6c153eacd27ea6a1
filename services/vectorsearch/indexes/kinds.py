"""Which kind of index each space has: by setting, or by how many rows there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

from services.vectorsearch.first_pass import Precision

ApproximateKind = Literal["ivf", "hnsw", "gpu_flat", "gpu_ivf"]
Kind = Precision | ApproximateKind

# In what precision rows are read first where an exact search is not asked for by its own kind: by `auto`, and
# beside an approximate index.
EXACT_DEFAULT: Precision = "sq8"

# An exact search of fewer rows takes no longer than a search of an index.
MIN_ROWS = 8192

# A GPU reads this many times more rows in the time that a CPU takes.
_GPU_FACTOR = 10

_AUTO = "auto"
_KINDS: tuple[str, ...] = (*get_args(Precision), *get_args(ApproximateKind))
_SPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kind of each space that has one of its own, and that of the rest; None is `auto`.

    `auto` searches exactly up to `auto_flat_rows` rows, and beyond that by `ivf`: beside `hnsw` it is built
    in a quarter of the time, takes less memory, serves filters, and is quicker where the best rows of queries
    unlike any photo shall be found too. With GPUs, `auto` is `gpu_flat` as soon as an index is worth it, and
    `gpu_ivf` beyond ten times as many rows.
    """

    chosen: Mapping[str, Kind | None]
    rest: Kind | None
    auto_flat_rows: int
    gpus: int

    @classmethod
    def parse(cls, text: str, *, auto_flat_rows: int = 1_000_000, gpus: int = 0) -> Kinds:
        """Read `auto`, one kind for all spaces, or `clip=hnsw,resnet50=sq8` with `auto` for the rest.

        `gpus` is how many GPUs there are. Raises ValueError naming the part that cannot be.
        """
        if "=" not in text and "," not in text:
            return cls({}, _kind(text.strip(), gpus), auto_flat_rows, gpus)
        chosen: dict[str, Kind | None] = {}
        for part in text.split(","):
            space, equals, kind = (piece.strip() for piece in part.partition("="))
            if not equals or not _SPACE.fullmatch(space):
                raise ValueError(f"index kinds: {part.strip()!r} is not <space>=<kind>")
            if space in chosen:
                raise ValueError(f"index kinds: {space} has two kinds")
            chosen[space] = _kind(kind, gpus)
        return cls(chosen, None, auto_flat_rows, gpus)

    def kind_of(self, space: str, rows: int) -> Kind:
        """How a space is to be searched that has so many rows with a vector."""
        kind = self.chosen.get(space, self.rest)
        if is_approximate(kind) and rows < MIN_ROWS:
            return EXACT_DEFAULT
        return kind or self._by_size(rows)

    def precision_of(self, space: str) -> Precision:
        """In what precision the rows of a space are read first when it is searched exactly."""
        kind = self.chosen.get(space, self.rest)
        return kind if _is_exact(kind) else EXACT_DEFAULT

    def _by_size(self, rows: int) -> Kind:
        if self.gpus and rows >= MIN_ROWS:
            return "gpu_flat" if rows <= _GPU_FACTOR * self.auto_flat_rows else "gpu_ivf"
        return EXACT_DEFAULT if rows <= self.auto_flat_rows else "ivf"


def is_approximate(kind: Kind | None) -> TypeGuard[ApproximateKind]:
    """Whether a kind needs an index that is built."""
    return kind in get_args(ApproximateKind)


def _is_exact(kind: Kind | None) -> TypeGuard[Precision]:
    return kind in get_args(Precision)


def _kind(name: str, gpus: int) -> Kind | None:
    if name == _AUTO:
        return None
    if not _is_kind(name):
        raise ValueError(f"index kinds: {name!r} is none of {', '.join((_AUTO, *_KINDS))}")
    if name.startswith("gpu_") and not gpus:
        raise ValueError(f"index kinds: {name} needs CUDA, and FAISS finds no GPU here")
    return name


def _is_kind(name: str) -> TypeGuard[Kind]:
    return name in _KINDS
