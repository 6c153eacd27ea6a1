"""Files of tensors: reading those that others made, and filling models with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from services.mesh.errors import FailedPrecondition

WEIGHTS_UNFIT = "WEIGHTS_UNFIT"

_TORCH_FILES = (".pth", ".pt", ".bin")
_MAX_COMPLAINT = 300

M = TypeVar("M", bound=nn.Module)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file on the CPU, and what it says of itself, which is nothing for torch's own files.

    Safetensors, or torch files (`.pth`, `.pt`, `.bin`) of plain tensors: no code in them is run. Raises
    FileNotFoundError where there is no such file, FailedPrecondition (reason WEIGHTS_UNFIT) for one that
    holds something else.
    """
    return (_torch_file(path), {}) if path.suffix in _TORCH_FILES else _safetensors(path)


def fill(model: M, tensors: Mapping[str, Tensor], path: Path) -> M:
    """`model`, ready to be used, with exactly these tensors, which came from `path`.

    Raises FailedPrecondition (reason WEIGHTS_UNFIT) where some are missing, too many or of another shape.
    """
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise unfit(path, str(error)) from error
    return model.eval().requires_grad_(False)


def loaded(path: Path, make: Callable[[], M]) -> M:
    """What `make` gives, in fp32 with exactly the tensors of a file. Raises as `read` and `fill` do."""
    tensors, _ = read(path)
    with torch.device("meta"):
        model = make()
    return fill(model, {name: tensor.float() for name, tensor in tensors.items()}, path)


def unfit(path: Path, complaint: str) -> FailedPrecondition:
    """The error of a file that holds something else than was wanted."""
    words = " ".join(complaint.split())
    shown = words if len(words) <= _MAX_COMPLAINT else f"{words[:_MAX_COMPLAINT]}…"
    return FailedPrecondition(f"{path} does not fit: {shown}", reason=WEIGHTS_UNFIT)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            # The file is no mapping: it has no other way to tell its names.
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise unfit(path, str(error)) from error


def _torch_file(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # What the unpickler makes of something else may fail in any way.
        raise unfit(path, str(error)) from error
    if not isinstance(found, Mapping) or not all(isinstance(each, Tensor) for each in found.values()):
        raise unfit(path, "wanted a mapping of names to tensors")
    return dict(found)
