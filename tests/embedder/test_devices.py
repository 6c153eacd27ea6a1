from __future__ import annotations

from pathlib import Path
from typing import Self

import pytest
import torch
from torch import Tensor

from services.embedder import devices
from services.embedder.devices import Placement
from services.mesh.errors import FailedPrecondition

CPU = torch.device("cpu")


class Scaler:
    """Gives the mean colour of an image times `gain`, and something else when `broken_by` is its format."""

    def __init__(self, broken_by: torch.dtype | None = None) -> None:
        self.dtype = torch.float32
        self.broken_by = broken_by

    def place(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.dtype = dtype
        return self

    def tuned(self) -> Self:
        return self

    def encode(self, images: Tensor) -> Tensor:
        means = images.float().mean(dim=(1, 2)).to(self.dtype)
        return means.flip(1) * torch.nan if self.dtype is self.broken_by else means


def test_a_fast_format_that_agrees_is_taken() -> None:
    """bfloat16 is used where its vectors point the same way."""
    model = devices.place(Scaler(), Placement(CPU, torch.bfloat16), Scaler.encode, 32)
    assert model.dtype is torch.bfloat16


def test_a_fast_format_that_disagrees_is_refused() -> None:
    """A model whose vectors break in bfloat16 stays in float32."""
    model = devices.place(Scaler(torch.bfloat16), Placement(CPU, torch.bfloat16), Scaler.encode, 32)
    assert model.dtype is torch.float32


class Detuned(Scaler):
    """Something else comes out once it is tuned, or tuning fails altogether."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.is_tuned = False

    def tuned(self) -> Self:
        if self.error:
            raise self.error
        self.is_tuned = True
        return self

    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images).flip(1) * (torch.nan if self.is_tuned else 1)


@pytest.mark.parametrize("error", [None, AttributeError("no such operator")])
def test_a_tuned_model_that_disagrees_or_cannot_be_had_is_refused(error: Exception | None) -> None:
    """In float32 too, the plain model is served where the tuned one differs or tuning fails."""
    model = devices.place(Detuned(error), Placement(CPU, torch.float32), Detuned.encode, 32)
    assert not model.is_tuned


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fpu avx2 avx512f", torch.float32),
        ("fpu avx512f avx512_bf16", torch.bfloat16),
        ("fpu amx_bf16 amx_tile", torch.bfloat16),
    ],
)
def test_the_processor_decides(flags: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 is chosen only where the processor computes in it."""
    monkeypatch.setattr(Path, "read_text", lambda self: f"model name\t: x\nflags\t\t: {flags}\n")
    assert devices.choose("cpu") == Placement(CPU, dtype)


def test_a_processor_that_tells_nothing_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc/cpuinfo nothing is assumed."""
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    assert devices.choose("cpu").dtype is torch.float32


def test_choices_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stated format is used as stated; CUDA is an error where there is none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.choose("cpu", "bfloat16") == Placement(CPU, torch.bfloat16)
    with pytest.raises(FailedPrecondition, match="CUDA"):
        devices.choose("cuda")
