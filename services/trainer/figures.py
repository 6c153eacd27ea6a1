"""The figures of a model card: trained models measured on photos that they were not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from services.trainer import retrieval
from services.trainer.catalogues import Photo
from services.trainer.material import Material, Rows

_LEAST_RIGHT = 10
_CHUNK = 512


def of_images(vectors: Tensor, photos: Sequence[Photo], by: str = "type") -> dict[str, float]:
    """How well neighbours agree with a photo: `vectors` are [n, d] L2-normalised.

    MAP@R by a label (Musgrave et al. 2020, "A Metric Learning Reality Check"), and the share of photos one of
    whose first k neighbours has their category or master category. Photos of a group do not find each other.
    A label that photos lack gives no figure.
    """
    groups = codes_of([photo.group for photo in photos])
    types = codes_of([photo.label([by]) for photo in photos])
    ranks = {name: codes_of([photo.label([name]) for photo in photos]) for name in ("category", "master")}
    places = min(len(photos), max(5, int(np.bincount(types[types >= 0], minlength=1).max())))
    precisions: list[Tensor] = []
    found: dict[str, list[Tensor]] = {name: [] for name in ranks}
    for start in range(0, len(photos), _CHUNK):
        rows = torch.arange(start, min(start + _CHUNK, len(photos)))
        own = torch.from_numpy(groups[rows.numpy(), None] == groups[None, :]).to(vectors.device)
        scores = (vectors[rows] @ vectors.T).masked_fill(own, -2.0)
        best = scores.topk(places, dim=1)
        nearest, is_other = best.indices.cpu(), (best.values > -1.5).cpu()
        precisions.append(_map_at_r(types, groups, rows, nearest, is_other))
        for name, codes in ranks.items():
            agree = (
                torch.from_numpy(codes)[nearest] == torch.from_numpy(codes[rows.numpy()])[:, None]
            ) & is_other
            found[name].append(agree[torch.from_numpy(codes[rows.numpy()] >= 0)])
    figures = _mean(f"mAP@R by {by}", torch.cat(precisions))
    for name, parts in found.items():
        agree = torch.cat(parts)
        for k in (1, 5):
            figures |= _mean(f"R@{k} by {name}", agree[:, :k].any(dim=1).float())
    return figures


def of_pairs(images: Tensor, titles: Tensor) -> dict[str, float]:
    """Title to photo recall, of [n, d] L2-normalised pairs."""
    found, asked = images.float().cpu().numpy(), titles.float().cpu().numpy()
    return {f"title to photo R@{k}": retrieval.recall_at(asked, found, k) for k in (1, 10)}


def of_short_queries(material: Material, images: Tensor, texts: Tensor) -> dict[str, float]:
    """Precision of queries such as `blue jeans`: colour and type pairs that at least ten photos carry.

    `images` are vectors of the material's photos, `texts` of all its captions, both [., d] L2-normalised.
    """
    queries, right = [], []
    wanted = np.array([photo.short_query for photo in material.photos])
    for pair in sorted(set(wanted.tolist()) - {""}):
        members = wanted == pair
        if members.sum() >= _LEAST_RIGHT:
            first = int(members.argmax())
            queries.append(int(material.caption_rows[first][material.photos[first].captions.index(pair)]))
            right.append(members)
    if not queries:
        return {}
    precision = retrieval.precision_of_texts(
        texts[queries].float().cpu().numpy(), images.float().cpu().numpy(), np.stack(right), 10
    )
    return {"colour and type, text to photo P@10": precision}


def codes_of(words: Sequence[str]) -> Rows:
    """Numbers int64 [n] that are equal where words are; -1 for no word."""
    names, codes = np.unique(np.asarray(words), return_inverse=True)
    codes = codes.astype(np.int64)
    return np.where(np.asarray(words) == "", -1, codes) if "" in names else codes


def _map_at_r(types: Rows, groups: Rows, rows: Tensor, nearest: Tensor, is_other: Tensor) -> Tensor:
    """MAP@R of the rows with a label, of the codes `types`, that another photo outside their group has."""
    asked = types[rows.numpy()]
    total = np.bincount(types[types >= 0], minlength=int(types.max(initial=0)) + 1)
    kin = np.array(
        [
            int(((groups == groups[row]) & (types == types[row])).sum()) if types[row] >= 0 else 0
            for row in rows.tolist()
        ]
    )
    relevant = torch.from_numpy(np.where(asked >= 0, total[np.maximum(asked, 0)] - kin, 0))
    right = (torch.from_numpy(types)[nearest] == torch.from_numpy(asked)[:, None]) & is_other
    place = torch.arange(1, right.shape[1] + 1)
    counted = right & (place[None, :] <= relevant[:, None])
    precision = right.cumsum(dim=1) / place
    chosen = relevant > 0
    values: Tensor = (precision * counted).sum(dim=1)[chosen] / relevant[chosen]
    return values


def _mean(name: str, values: Tensor) -> dict[str, float]:
    return {name: float(values.mean())} if len(values) else {}
