"""What the heads are trained for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy (Radford et al. 2021) over a batch of pairs, a scalar.

    `images` and `texts` are [n, d] L2-normalised, pair by pair; `scale` is one over the temperature. `same`
    is a bool [n, n] of the pairs that share a caption: they are all right answers and share the
    probability, since a batch of short captions has many doubles (Yang et al. 2022, "UniCL").
    """
    logits = scale * images @ texts.T
    target = same.float() / same.sum(dim=1, keepdim=True)
    rows = -(target * functional.log_softmax(logits, dim=1)).sum(dim=1)
    columns = -(target * functional.log_softmax(logits.T, dim=1)).sum(dim=1)
    return (rows.mean() + columns.mean()) / 2


def batch_hard_triplet(vectors: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Triplet loss with the hardest positive and negative of the batch (Hermans et al. 2017), a scalar.

    `vectors` are [n, d] L2-normalised, `labels` int64 [n]. Distances are Euclidean; the soft margin of the
    paper is not used. Anchors without a positive in the batch do not count.
    """
    distances = (2 - 2 * vectors @ vectors.T).clamp(min=1e-8).sqrt()
    same = labels[:, None] == labels[None, :]
    others = same & ~torch.eye(len(labels), dtype=torch.bool)
    farthest = distances.masked_fill(~others, -1.0).amax(dim=1)
    nearest = distances.masked_fill(same, 4.0).amin(dim=1)
    losses = functional.relu(farthest - nearest + margin)
    return losses[others.any(dim=1)].mean()


def normalised_softmax(vectors: Tensor, proxies: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Classification over learned L2-normalised proxies (Zhai and Wu 2019), a scalar.

    `vectors` are [n, d] L2-normalised, `proxies` [classes, d], `labels` int64 [n].
    """
    logits = vectors @ functional.normalize(proxies, dim=-1).T / temperature
    return functional.cross_entropy(logits, labels)
