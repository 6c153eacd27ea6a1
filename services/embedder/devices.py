"""Which device and number format a model runs in, and whether a fast format still gives the exact vectors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, TypeVar

import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from services.mesh.errors import FailedPrecondition

DeviceChoice = Literal["auto", "cpu", "cuda"]
DtypeChoice = Literal["auto", "float32", "bfloat16"]

MIN_AGREEMENT = 0.999

_PROBES = 4
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model's weights live and in which format."""

    device: torch.device
    dtype: torch.dtype


class Castable(Protocol):
    """A model that can be moved and cast in place."""

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Itself, moved and cast."""
        ...

    def tuned(self) -> Self:
        """Itself, in the layout that computes fastest where it is, for inference alone."""
        ...


M = TypeVar("M", bound=Castable)


def choose(device: DeviceChoice = "auto", dtype: DtypeChoice = "auto") -> Placement:
    """CUDA where there is one, bfloat16 where the hardware computes in it.

    Raises FailedPrecondition when CUDA is asked for and absent.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise FailedPrecondition("device=cuda, but torch sees no CUDA device")
    where = torch.device("cuda:0" if cuda and device != "cpu" else "cpu")
    if dtype == "auto":
        fast = where.type == "cuda" or _cpu_computes_in_bfloat16()
        return Placement(where, torch.bfloat16 if fast else torch.float32)
    return Placement(where, getattr(torch, dtype))


def place(model: M, placement: Placement, encode: Callable[[M, Tensor], Tensor], image_size: int) -> M:
    """`model` on its device, tuned and in the placement's format, or plain in float32 where that differs.

    `encode` gives vectors [n, d] of uint8 images [n, image_size, image_size, 3]; the cosines between both
    models' vectors of a few drawn pictures decide (at least 0.999 for each).
    """
    model = model.place(placement.device, torch.float32)
    fast = copy.deepcopy(model).place(placement.device, placement.dtype)
    try:
        fast = fast.tuned()
    except (AttributeError, RuntimeError) as error:
        _log.warning("tuning_failed", error=str(error))
    probes = _probes(image_size).to(placement.device)
    with torch.inference_mode():
        exact, approximate = encode(model, probes).float(), encode(fast, probes).float()
    agreement = float(F.cosine_similarity(exact, approximate).min())
    # The comparison is False for NaN, so a format that overflows is refused as well.
    if agreement >= MIN_AGREEMENT:
        return fast
    _log.warning("fast_model_refused", dtype=str(placement.dtype), agreement=agreement, needed=MIN_AGREEMENT)
    return model


def _probes(size: int) -> Tensor:
    """Soft coloured blobs: natural enough for the activations to be in their usual range."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(_PROBES, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _cpu_computes_in_bfloat16() -> bool:
    """True with AVX512-BF16 or AMX; elsewhere bfloat16 is emulated and slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags
