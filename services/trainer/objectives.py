"""What the heads are trained for."""

from __future__ import annotations

import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor, nn
from torch.nn import functional

from services.trainer.recipes import MetricRecipe


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


class MetricObjective(nn.Module):
    """A sum of losses over L2-normalised vectors [n, d] with labels int64 [n], each with its miner or none.

    Proxies that losses learn are parameters of this module.
    """

    def __init__(self, *parts: tuple[nn.Module, nn.Module | None]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(loss for loss, _ in parts)
        self._miners = [miner for _, miner in parts]

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar."""
        total = vectors.new_zeros(())
        for loss, miner in zip(self.losses, self._miners, strict=True):
            total = total + loss(vectors, labels, miner(vectors, labels) if miner is not None else None)
        return total


def metric(recipe: MetricRecipe, classes: int, dim: int) -> MetricObjective:
    """The recipe's objective for that many classes.

    `batch_hard` and `soft_margin` are Hermans et al. 2017 ("In Defense of the Triplet Loss") on Euclidean
    distances that are not squared; `normalised_softmax` is Zhai and Wu 2019, `arcface` Deng et al. 2019,
    `multi_similarity` Wang et al. 2019; `mixed` adds `normalised_softmax` and `batch_hard`.
    """
    euclidean = distances.LpDistance(normalize_embeddings=True, p=2, power=1)
    hardest = miners.BatchHardMiner(distance=euclidean)
    batch_hard = losses.TripletMarginLoss(margin=recipe.margin, distance=euclidean)
    if recipe.objective == "batch_hard":
        return MetricObjective((batch_hard, hardest))
    if recipe.objective == "soft_margin":
        # log(1 + exp(d)) has no margin and no zeros to leave out of the mean.
        soft = losses.TripletMarginLoss(
            margin=0.0, smooth_loss=True, distance=euclidean, reducer=reducers.MeanReducer()
        )
        return MetricObjective((soft, hardest))
    if recipe.objective == "arcface":
        return MetricObjective((losses.ArcFaceLoss(classes, dim, margin=28.6, scale=32), None))
    if recipe.objective == "multi_similarity":
        return MetricObjective((losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()))
    softmax = losses.NormalizedSoftmaxLoss(classes, dim, temperature=recipe.temperature)
    if recipe.objective == "normalised_softmax":
        return MetricObjective((softmax, None))
    return MetricObjective((softmax, None), (batch_hard, hardest))


def mean_distance(vectors: Tensor) -> float:
    """The mean Euclidean distance between two of the vectors [n, d]."""
    return float(torch.pdist(vectors.detach().float()).mean())
