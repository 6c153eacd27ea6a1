"""`python -m services.trainer`: catalogue folders in, the heads that the embedder ships out."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from torch import nn

from services.embedder import weights
from services.embedder.models import minilm, resnet50
from services.embedder.models.dual_encoder import DualEncoder
from services.embedder.models.head import Head
from services.mesh.models_dir import models_dir_default
from services.mesh.registries import sha256
from services.trainer import cards, catalogues, features, figures, heads, material
from services.trainer.catalogues import Photo
from services.trainer.concepts import Concepts
from services.trainer.heads import DUAL_ENCODER_RECIPE, TRIPLET_RECIPE
from services.trainer.material import Material

HELD_OUT_SHARE = 0.1
SAMPLE = 1000

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()

Catalogues = Annotated[list[Path], typer.Argument(help="Catalogue folders: products.csv and images/.")]
Cache = Annotated[Path, typer.Option(help="Folder where features are kept between runs.")]
ModelsDir = Annotated[Path, typer.Option(help="Models directory with resnet50 and minilm in it.")]
Unseen = Annotated[list[Path] | None, typer.Option(help="Catalogue to measure on and never train on.")]
Output = Annotated[Path, typer.Option(help="Where heads and model card go.")]

_DEFAULT_CACHE = Path("var/features")
_DEFAULT_MODELS_DIR = models_dir_default()


@app.command("features")
def cache_features(
    folders: Catalogues, cache: Cache = _DEFAULT_CACHE, models_dir: ModelsDir = _DEFAULT_MODELS_DIR
) -> None:
    """Computes and keeps the features of every photo and caption."""
    for folder in folders:
        _load([folder], cache, models_dir)


@app.command("heads")
def train_heads(
    folders: Catalogues,
    unseen: Unseen = None,
    cache: Cache = _DEFAULT_CACHE,
    models_dir: ModelsDir = _DEFAULT_MODELS_DIR,
    output: Output = weights.HEADS_DIR,
) -> None:
    """Trains both heads, measures them on held-out products, trains on everything and writes the card."""
    everything = _load(folders, cache, models_dir)
    concepts = _concepts(models_dir)
    kept, held_out = (everything.take(rows) for rows in material.split(everything.photos, HELD_OUT_SHARE))
    dual_encoder, triplet = _train(kept, concepts, "nine tenths")
    measured = {"Held-out products": figures.of_all(dual_encoder, triplet, held_out)}
    for folder in unseen or []:
        foreign = _load([folder], cache, models_dir, sample=SAMPLE)
        title = f"{folder.name}: {len(foreign.photos)} photos of a catalogue never trained on"
        measured[title] = figures.of_all(dual_encoder, triplet, foreign)
    trunk = weights.read(models_dir, "resnet50").files["model.safetensors"]
    dual_encoder, triplet = _train(everything, concepts, "everything")
    output.mkdir(parents=True, exist_ok=True)
    digests = {
        file: _export(model, output / file, trunk)
        for file, model in (("dual_encoder.safetensors", dual_encoder), ("triplet.safetensors", triplet))
    }
    card = cards.Card(
        title="Heads on ResNet50",
        digests=digests,
        trunk=trunk,
        photos={
            folder.name: sum(p.catalogue == folder.name for p in everything.photos) for folder in folders
        },
        held_out=(
            f"The figures are of heads trained without {len(held_out.photos):,} photos: a tenth of the "
            "products, chosen by the hash of their group."
        ),
        shipped=(
            "The heads shipped are trained by the same recipe on all of these photos, held-out ones too. "
            "The names of the 1,000 ImageNet classes take part through the trunk's classifier."
        ),
        recipes={"dual encoder": DUAL_ENCODER_RECIPE, "triplet": TRIPLET_RECIPE},
        figures=measured,
    )
    cards.write(card, output)
    console.print((output / "model_card.md").read_text())


def _train(chosen: Material, concepts: Concepts, name: str) -> tuple[DualEncoder, Head]:
    with Progress(console=console) as bar:
        task = bar.add_task(f"dual encoder on {name}", total=DUAL_ENCODER_RECIPE.epochs)
        dual_encoder = heads.train_dual_encoder(
            chosen, concepts, DUAL_ENCODER_RECIPE, partial(bar.advance, task)
        )
        other = bar.add_task(f"triplet on {name}", total=TRIPLET_RECIPE.epochs)
        triplet = heads.train_triplet(chosen, TRIPLET_RECIPE, partial(bar.advance, other))
    return dual_encoder, triplet


def _load(folders: Sequence[Path], cache: Path, models_dir: Path, *, sample: int | None = None) -> Material:
    photos: list[Photo] = []
    parts = []
    weights.read(models_dir, "resnet50")
    trunk = resnet50.load(models_dir / "resnet50" / "model.safetensors")
    trunk.place(torch.device("cpu"), torch.float32)
    encoder = _encoder(models_dir)
    with Progress(console=console) as bar:
        for folder in folders:
            found = catalogues.read(folder)
            if sample is not None and len(found) > sample:
                found = random.Random(0).sample(found, sample)
            task = bar.add_task(f"photos of {folder.name}", total=len(found))
            path = cache / f"{folder.name}.npz"
            parts.append(features.of_photos(found, trunk, path, partial(bar.advance, task)))
            photos += found
        texts = material.distinct_captions(photos)
        path = cache / f"captions-{'-'.join(folder.name for folder in folders)}.npz"
        other = bar.add_task("captions", total=len(texts))
        captions = features.of_captions(texts, encoder.encode, path, partial(bar.advance, other))
    return material.gather(photos, np.concatenate(parts), captions)


def _concepts(models_dir: Path) -> Concepts:
    folder = models_dir / "resnet50"
    labels = json.loads((folder / "labels.json").read_text())
    names = [labels[str(row)].replace("_", " ") for row in range(resnet50.CLASSES)]
    trunk = resnet50.load(folder / "model.safetensors")
    return Concepts(trunk.top.weight, _encoder(models_dir).encode(names).clone())


def _encoder(models_dir: Path) -> minilm.MiniLM:
    weights.read(models_dir, "minilm")
    folder = models_dir / "minilm"
    return minilm.load(folder / "model.safetensors", folder / "tokenizer.json")


def _export(model: nn.Module, path: Path, trunk: str) -> str:
    # Half precision halves what is shipped and moves cosines by less than 0.0001.
    save_file({key: value.half() for key, value in model.state_dict().items()}, path, {"trunk": trunk})
    path.chmod(0o644)
    return sha256(path)


if __name__ == "__main__":
    app()
