"""An architecture of open_clip that is small enough to be made anew in a test."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip

ARCHITECTURE = "tiny"
DIM = 16

_CONFIG = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def write(path: Path, *, seed: int) -> Path:
    """A checkpoint at `path`, by its suffix safetensors or torch's own, of an architecture made known."""
    config = path.parent / f"{ARCHITECTURE}.json"
    if ARCHITECTURE not in open_clip.list_models():
        config.write_text(json.dumps(_CONFIG))
        open_clip.add_model_config(config)
    torch.manual_seed(seed)
    tensors = open_clip.create_model(ARCHITECTURE).state_dict()
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path
