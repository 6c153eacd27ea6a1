from __future__ import annotations

import pytest

from services.vectorsearch.indexes.kinds import EXACT_DEFAULT, MIN_ROWS, Kind, Kinds, is_approximate

MANY = 10_000_000


def test_auto_is_exact_until_there_are_many_rows() -> None:
    """Up to the number that is set a space is searched exactly, and by clusters beyond it."""
    kinds = Kinds.parse("auto", auto_flat_rows=100_000)
    assert kinds.kind_of("clip", 100_000) == EXACT_DEFAULT
    assert kinds.kind_of("clip", 100_001) == "ivf"
    assert kinds.precision_of("clip") == EXACT_DEFAULT


def test_auto_takes_the_gpus_there_are() -> None:
    """With GPUs all rows are read there as soon as it is worth it, and clusters when there are too many."""
    kinds = Kinds.parse("auto", auto_flat_rows=100_000, gpus=2)
    assert kinds.kind_of("clip", MIN_ROWS - 1) == EXACT_DEFAULT
    assert kinds.kind_of("clip", MIN_ROWS) == "gpu_flat"
    assert kinds.kind_of("clip", 1_000_000) == "gpu_flat"
    assert kinds.kind_of("clip", 1_000_001) == "gpu_ivf"


@pytest.mark.parametrize("kind", ["flat", "flat16", "sq8"])
def test_an_exact_kind_is_its_own_precision(kind: Kind) -> None:
    """However many rows there are, and for every space."""
    kinds = Kinds.parse(kind)
    assert {kinds.kind_of(space, rows) for space in ("clip", "resnet50") for rows in (0, MANY)} == {kind}
    assert kinds.precision_of("clip") == kind
    assert not is_approximate(kind)


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "gpu_flat", "gpu_ivf"])
def test_an_approximate_kind_waits_for_enough_rows(kind: Kind) -> None:
    """Few rows are read sooner than an index is searched; and rows beside one are read as `auto` does."""
    kinds = Kinds.parse(kind, gpus=1)
    assert kinds.kind_of("clip", MIN_ROWS - 1) == EXACT_DEFAULT
    assert kinds.kind_of("clip", MIN_ROWS) == kind
    assert kinds.precision_of("clip") == EXACT_DEFAULT
    assert is_approximate(kind)


def test_spaces_have_kinds_of_their_own() -> None:
    """Those that are named have theirs, the others `auto`; blanks do not matter."""
    kinds = Kinds.parse(" clip = hnsw , resnet50=sq8,triplet=auto", auto_flat_rows=50_000)
    assert kinds.kind_of("clip", MANY) == "hnsw"
    assert kinds.kind_of("resnet50", MANY) == "sq8"
    assert kinds.kind_of("triplet", MANY) == kinds.kind_of("other", MANY) == "ivf"
    assert kinds.precision_of("resnet50") == "sq8"
    assert kinds.precision_of("other") == EXACT_DEFAULT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is none of auto, flat, flat16, sq8, ivf, hnsw, gpu_flat, gpu_ivf"),
        ("faiss", "'faiss' is none of"),
        ("clip=pq", "'pq' is none of"),
        ("clip=", "'' is none of"),
        ("clip=hnsw,", "'' is not <space>=<kind>"),
        ("clip=hnsw,sq8", "'sq8' is not <space>=<kind>"),
        ("=hnsw", "'=hnsw' is not <space>=<kind>"),
        ("a b=hnsw", "'a b=hnsw' is not <space>=<kind>"),
        ("clip=hnsw=sq8", "'hnsw=sq8' is none of"),
        ("clip=hnsw,clip=sq8", "clip has two kinds"),
        ("gpu_ivf", "gpu_ivf needs CUDA, and FAISS finds no GPU here"),
        ("clip=gpu_flat", "gpu_flat needs CUDA, and FAISS finds no GPU here"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, message: str) -> None:
    """A setting that is wrong names its wrong part."""
    with pytest.raises(ValueError, match="index kinds: ") as refused:
        Kinds.parse(text)
    assert message in str(refused.value)
