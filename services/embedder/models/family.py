"""What a family of models is: how the files of a models directory become the towers of a space."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.embedder.devices import Placement
from services.mesh.registries import Package

# The side of the squares that are decoded where no model says what it wants.
IMAGE_SIZE = 224

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes a model's input.

    It is stretched to a square of `image_size` pixels a side; of its red, green and blue, 0 to 255, `mean` is
    subtracted and the result divided by `std`.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Space:
    """One embedding and the model behind it.

    `digest` is the hex sha256 of the model's recipe and of all its weights files. `memory_bytes` are its
    weights on the device, with the trunk that it may share with others. `default` holds for the model that
    the bare name means. Where weights are missing, `digest` is empty and `unavailable_reason` says what is
    missing and which command fetches it. `card` is the model card, in Markdown.
    """

    name: str
    model: str
    dim: int
    accepts_text: bool
    digest: str = ""
    device: str = ""
    dtype: str = ""
    unavailable_reason: str = ""
    preprocessing: Preprocessing | None = None
    memory_bytes: int = 0
    default: bool = True
    card: str = ""


class Trunk(Protocol):
    """A model that several towers stand on, in two parts, since a tower may have a last stage of its own."""

    def below(self, images: Tensor) -> Tensor:
        """uint8 RGB [n, size, size, 3] -> maps [n, c, h, w] before the last stage."""
        ...

    def pooled(self, maps: Tensor) -> Tensor:
        """What `below` gives, which stays as it is -> features [n, d]."""
        ...


class Batch:
    """Pictures on their way through the towers; what several towers need is computed once."""

    def __init__(self, pixels: Tensor) -> None:
        self._sized = {pixels.shape[1]: pixels}
        self._pixels = pixels
        self._maps: dict[Trunk, Tensor] = {}
        self._features: dict[Trunk, Tensor] = {}

    def sized(self, size: int) -> Tensor:
        """The pictures as uint8 RGB [n, size, size, 3]."""
        if size not in self._sized:
            planes = self._pixels.permute(0, 3, 1, 2).float()
            planes = F.interpolate(planes, size=(size, size), mode="bilinear", antialias=True)
            self._sized[size] = planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return self._sized[size]

    def below(self, trunk: Trunk, size: int) -> Tensor:
        """Maps in the trunk's dtype [n, c, h, w] that it gives of `sized(size)`, at the first call only.

        Nobody may change them.
        """
        if trunk not in self._maps:
            self._maps[trunk] = trunk.below(self.sized(size))
        return self._maps[trunk]

    def through(self, trunk: Trunk, size: int) -> Tensor:
        """Features float32 [n, d] that a trunk, which runs at the first call only, gives of `sized(size)`."""
        if trunk not in self._features:
            self._features[trunk] = trunk.pooled(self.below(trunk, size)).float()
        return self._features[trunk]


@dataclass(frozen=True, slots=True)
class Towers:
    """A space with its ways from pictures and from texts to float32 [n, dim] L2-normalised.

    Without weights it has neither. `scale` is what cosines between a picture and texts are multiplied by
    before a softmax.
    """

    space: Space
    images: Callable[[Batch], Tensor] | None = None
    texts: Callable[[Sequence[str]], Tensor] | None = None
    scale: float = 1.0

    @property
    def image_size(self) -> int:
        """The side of the squares that the model looks at."""
        return self.space.preprocessing.image_size if self.space.preprocessing else IMAGE_SIZE


@dataclass(frozen=True, slots=True)
class Folder:
    """A model's whole files: their names and sha256, and which architecture they are of where one can ask."""

    path: Path
    files: Mapping[str, str]
    architecture: str = ""


class Shelf(Protocol):
    """A models directory as families see it."""

    @property
    def placement(self) -> Placement:
        """Where models are put."""
        ...

    def folder(self, name: str) -> Folder:
        """The files of a model; raises FailedPrecondition unless they are there and whole."""
        ...

    def head(self, file: str, trunk: str) -> tuple[Path, str]:
        """A head and its sha256; raises FailedPrecondition unless it was trained on the trunk of that sha256.

        The directory's own heads come before those shipped.
        """
        ...

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, which is called once for a key however many directories and spaces ask."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a space is made of, known before anything is loaded.

    `digests` are the sha256 of all its files, `card` is its model card; `make` fills in what of the space is
    known when it is loaded: dim, dtype, preprocessing and memory.
    """

    model: str
    digests: Sequence[str]
    make: Callable[[Space], Towers]
    card: str

    @property
    def digest(self) -> str:
        """The hex sha256 by which requests and catalogues know the model."""
        return hashlib.sha256("\n".join([self.model, *self.digests]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """Where the folder `name` of a models directory comes from, and how it is made.

    `install` makes it from a file or a directory in any layout that it knows, such as what `root` is in the
    unpacked package, and raises FailedPrecondition (reason WEIGHTS_UNFIT) for anything else.
    """

    name: str
    package: Package
    root: str
    install: Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class Family:
    """A space, what is known of it without weights, and how to find out what it is made of.

    `recipe` raises FailedPrecondition where files are missing, damaged or do not fit each other. `sources`
    are the folders that it needs.
    """

    space: str
    model: str
    dim: int
    accepts_text: bool
    recipe: Callable[[Shelf], Recipe]
    sources: Sequence[Source]


def memory_bytes(*modules: nn.Module) -> int:
    """The bytes of all weights of some modules."""
    return sum(tensor.nbytes for module in modules for tensor in (*module.parameters(), *module.buffers()))


def dtype_name(dtype: torch.dtype) -> str:
    """`float32`, `bfloat16`."""
    return str(dtype).removeprefix("torch.")
