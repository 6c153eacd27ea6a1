"""The figures of a model card: trained heads measured on material they have not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from services.embedder.models.dual_encoder import DualEncoder
from services.embedder.models.head import Head
from services.trainer import evaluation
from services.trainer.material import Material

_LEAST_RIGHT = 10


def of_dual_encoder(model: DualEncoder, material: Material) -> dict[str, float]:
    """Title to photo recall, and precision of short queries such as `blue jeans`, on titled photos."""
    titled = material.take(np.flatnonzero([bool(photo.title) for photo in material.photos]))
    titles = titled.captions[torch.tensor([int(rows[0]) for rows in titled.caption_rows])]
    with torch.inference_mode():
        images, texts = model.image(titled.features).numpy(), model.text(titled.captions).numpy()
        title_vectors = model.text(titles).numpy()
    return {
        "photos": len(titled.photos),
        "title to photo R@1": evaluation.recall_at(title_vectors, images, 1),
        "title to photo R@10": evaluation.recall_at(title_vectors, images, 10),
        "colour and kind, text to photo P@10": _short_queries(titled, images, texts),
    }


def of_images(name: str, vectors: Tensor, material: Material) -> dict[str, float]:
    """Share of the ten nearest photos of other products that are of the same kind."""
    kinds = [photo.kind for photo in material.photos]
    groups = [photo.group for photo in material.photos]
    precision = evaluation.neighbour_precision(vectors.numpy(), kinds, groups, 10)
    return {f"{name}, same kind P@10": precision}


def of_all(dual_encoder: DualEncoder, triplet: Head, material: Material) -> dict[str, float]:
    """Every figure of a model card on one material."""
    features = functional.normalize(material.features, dim=-1)
    with torch.inference_mode():
        return {
            **of_dual_encoder(dual_encoder, material),
            **of_images("resnet50", features, material),
            **of_images("triplet", triplet(material.features), material),
            **of_images("dual encoder", dual_encoder.image(material.features), material),
        }


def _short_queries(material: Material, images: evaluation.Vectors, texts: evaluation.Vectors) -> float:
    """Queries are `colour kind` pairs that at least ten photos carry; those photos are right."""
    queries, right = [], []
    wanted = [f"{photo.colour} {photo.kind}".lower() for photo in material.photos]
    for pair in sorted(set(wanted)):
        members = np.array([other == pair for other in wanted])
        first = int(members.argmax())
        photo = material.photos[first]
        if photo.colour and photo.kind and members.sum() >= _LEAST_RIGHT:
            queries.append(texts[material.caption_rows[first][photo.captions.index(photo.short_query)]])
            right.append(members)
    return evaluation.precision_of_texts(np.stack(queries), images, np.stack(right), 10) if queries else 0.0
