from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from services.embedder.models import checkpoints
from services.mesh.errors import FailedPrecondition


class Burglar:
    """Runs something when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_both_kinds_of_file_are_read(tmp_path: Path) -> None:
    """Tensors come from safetensors, which may say something of themselves, and from torch's own files."""
    tensors = {"weight": torch.arange(3.0)}
    save_file(tensors, tmp_path / "a.safetensors", {"variant": "v2"})
    torch.save(tensors, tmp_path / "a.pt")
    found, metadata = checkpoints.read(tmp_path / "a.safetensors")
    assert (found["weight"].tolist(), metadata) == ([0, 1, 2], {"variant": "v2"})
    found, metadata = checkpoints.read(tmp_path / "a.pt")
    assert (found["weight"].tolist(), metadata) == ([0, 1, 2], {})


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_missing_file_is_missing(tmp_path: Path, name: str) -> None:
    """No file is not a wrong file."""
    with pytest.raises(FileNotFoundError):
        checkpoints.read(tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"", b"torn", b"PK\x03\x04torn", pickle.dumps({"weight": 1}, protocol=2)]
)
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_what_holds_no_tensors_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """Torn files and other things say so, whatever their name promises."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FailedPrecondition, match="does not fit") as caught:
        checkpoints.read(tmp_path / name)
    assert caught.value.reason == checkpoints.WEIGHTS_UNFIT


def test_something_else_than_tensors_is_refused(tmp_path: Path) -> None:
    """A whole training state is not a mapping of names to tensors."""
    torch.save({"epoch": 3, "state_dict": {"weight": torch.zeros(1)}}, tmp_path / "a.pt")
    with pytest.raises(FailedPrecondition, match="wanted a mapping of names to tensors"):
        checkpoints.read(tmp_path / "a.pt")


@pytest.mark.parametrize("write", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, write: str) -> None:
    """A pickle that would do something when it is read is refused and has done nothing."""
    mark = tmp_path / "mark"
    if write == "torch":
        torch.save({"weight": Burglar(mark)}, tmp_path / "a.pt")
    else:
        (tmp_path / "a.pt").write_bytes(pickle.dumps(Burglar(mark), protocol=2))
    with pytest.raises(FailedPrecondition, match="does not fit"):
        checkpoints.read(tmp_path / "a.pt")
    assert not mark.exists()


@pytest.mark.parametrize("tensors", [{}, {"weight": torch.zeros(2, 2)}])
def test_a_model_is_filled_whole_or_not_at_all(tensors: dict[str, torch.Tensor]) -> None:
    """Missing tensors and wrong shapes are told in a line, with the file's name."""
    with pytest.raises(FailedPrecondition, match=r"mine\.pt does not fit: .*weight") as caught:
        checkpoints.fill(nn.Linear(3, 1), tensors, Path("mine.pt"))
    assert "\n" not in caught.value.message


def test_long_complaints_are_cut() -> None:
    """Hundreds of missing tensors are not all named."""
    assert len(checkpoints.unfit(Path("a"), "missing " * 1000).message) < 400
